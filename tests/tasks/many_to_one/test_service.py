"""Services of classification and regression."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from serving.models import model

from recurra.cli.support.options import PredictOptions
from recurra.cli.tasks import task_module
from recurra.data.files.audio import read_audio
from recurra.tasks.serving.service import InputError

ROOT = Path(__file__).parents[3]
DIGIT = ROOT / "src/recurra/data/samples/audio/digits/3_yweweler_5.flac"


@pytest.mark.parametrize("proba", [False, True])
def test_the_command_line_gives_the_same_answers(proba, tmp_path):
    clf = model("texts")
    texts = ["a good film", "so bad", ""]
    service, options = clf.service(), PredictOptions(proba=proba)
    found = service.answers(service.parse(texts), service.Options(proba=proba))
    assert list(task_module("classify").predict(clf, texts, options)) == found
    assert [row["label"] for row in found] == clf.predict(texts).tolist()
    assert ("probabilities" in found[0]) == proba
    if proba:
        assert list(found[0]["probabilities"]) == clf.classes_.tolist()


def test_several_targets_are_a_list():
    service = model("numbers").service()
    (answer,) = service.answers(service.parse([[[1, 2]]]), service.Options())
    assert answer == {"value": model("numbers").predict([np.array([[1.0, 2.0]])])[0].tolist()}
    assert service.about()["targets"] == 2


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ([[1, 2], [3]], (1,), "the step has 1 number; the model was trained on 2 features"),
        ([[1, 2], 3], (1,), "a step is a list of 2 numbers, not a number"),
        ([[1, 2], [3, True]], (1, 1), "null if it is missing, not true"),
        ([[1, "2"]], (0, 1), "not a text"),
        ([[1, float("nan")]], (0, 1), "the number is NaN; send null for a missing value"),
        ([[1, None], [float("inf"), 0]], (1, 0), "beyond the range of float64"),
        ([[1, 10**400]], (0, 1), "beyond the range of float64"),
        ([[1, 1e300]], (), "the series, step 0, column 1.*give the data in the same unit"),
        ("[[1, 2]]", (), "a series is a list of steps, not a text"),
    ],
)
def test_series_are_checked(value, path, message):
    with pytest.raises(InputError, match=message) as caught:
        model("series").service().parse([[[1, 2]], value])
    assert caught.value.path == ("inputs", 1, *path)


def test_null_is_a_missing_value():
    service = model("series").service()
    (item,) = service.parse([[[1, None], [2, 3]]])
    np.testing.assert_array_equal(item, [[1, np.nan], [2, 3]])


def test_one_feature_needs_no_rows():
    service = model("one feature").service()
    flat, rows = service.parse([[1, None, 3], [[1], [None], [3]]])
    np.testing.assert_array_equal(flat, rows)
    with pytest.raises(InputError, match="a number, or null if it is missing, not a text") as caught:
        service.parse([[1, "2"]])
    assert caught.value.path == ("inputs", 0, 1)


def test_a_recording_is_read_as_its_file():
    service = model("sounds").service()
    (item,) = service.parse([base64.b64encode(DIGIT.read_bytes()).decode()])
    samples, rate = read_audio(DIGIT)
    np.testing.assert_array_equal(item[0], samples)
    assert item[1] == rate
    proba = service.Options(proba=True)
    assert service.answers([item], proba) == service.answers(model_recordings([DIGIT]), proba)


def model_recordings(paths):
    from recurra.data.columns.inputs import as_sequences

    return as_sequences(paths)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DIGIT.read_bytes()[:2000], "cut short|damaged"),
        (b"RIFF", "is not a recording that can be read"),
        (b"a text", "is not a recording that can be read"),
        (b"", "the recording is empty"),
    ],
)
def test_recordings_are_checked(data, message):
    with pytest.raises(InputError, match=message) as caught:
        model("sounds").service().parse([base64.b64encode(data).decode()])
    assert caught.value.path == ("inputs", 0)


@pytest.mark.parametrize("value", ["!!!", "é", "abc", str(DIGIT), {"sound": None}, {"sound": "", "x": 1}])
def test_recordings_are_base64(value):
    with pytest.raises(InputError, match=r"base64|only"):
        model("sounds").service().parse([value])


def test_what_a_client_needs_to_know():
    assert model("texts").service().about() == {
        "kind": "text",
        "tokens": "word",
        "vocabulary": model("texts").encoder_.input_size,
        "classes": ["neg", "pos"],
    }
    assert model("series").service().about()["features"] == 2
    assert model("sounds").service().about()["sample_rate"] == 8000
    assert json.dumps(model("series").service().input_schema()).count('"minItems": 2, "maxItems": 2') == 1
