"""Estimators in JavaScript: predictions, pooling, steps and inputs equal Python's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from javascript import RUNNERS, run, tensor

import recurra
from recurra import SequenceClassifier, SequenceRegressor, nn
from recurra.errors import UsageError
from recurra.exporting import export
from recurra.exporting.web import FOLDER

WORDS = ["정말", "재미있는", "영화", "최악", "good", "bad", "film", "ㅋㅋㅋ", "!", "재미없다", "🎬", "x"]
TOLERANCE = {"rtol": 0, "atol": 1e-5}
KINDS = [("bpe", "attention", "lstm"), ("char", "max", "gru"), ("word", "mean", "rnn"), ("bpe", "last", "lstm")]


def texts(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, 30))) for _ in range(count)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(kind))
def classifier(request, tmp_path_factory):
    tokens, pooling, cell = request.param
    options = {"bidirectional": True, "num_layers": 2} if pooling == "last" else {}
    X = texts(80)
    model = SequenceClassifier(
        cell=cell, hidden_size=12, embedding_size=7, tokens=tokens, pooling=pooling, epochs=2, random_state=0, **options
    ).fit(X, ["good" if "영화" in text else "bad" for text in X])
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.mark.parametrize("run", RUNNERS)
def test_200_texts_have_the_same_probabilities(classifier, run):
    model, path = classifier
    X = [*texts(196, seed=1), "", " ", "[UNK] 龍", "영화" * 400]
    (found,) = run([{"model": path, "call": "predict", "inputs": X}])
    np.testing.assert_allclose([answer["probabilities"] for answer in found], model.predict_proba(X), **TOLERANCE)
    assert [answer["label"] for answer in found] == model.predict(X).tolist()


@pytest.mark.parametrize("matrix", [False, True])
def test_several_labels(matrix, tmp_path):
    X = texts(60)
    labels = [[name for name, word in (("film", "영화"), ("good", "good")) if word in text] for text in X]
    y = [[int(name in row) for name in ("film", "good")] for row in labels] if matrix else labels
    options = {"hidden_size": 8, "tokens": "word", "epochs": 4, "learning_rate": 0.05}
    model = SequenceClassifier(**options, verbose=0).fit(X, y)
    (found,) = run([{"model": export(model, tmp_path / "m.safetensors"), "call": "predict", "inputs": X}])
    chances = model.predict_proba(X)
    np.testing.assert_allclose([answer["probabilities"] for answer in found], chances, **TOLERANCE)
    assert [answer["labels"] for answer in found] == [model.classes_[row > 0.5].tolist() for row in chances]


def test_steps_end_with_the_answer_for_the_text(classifier):
    model, path = classifier
    X = texts(5, seed=2)
    for found in run([{"model": path, "call": call, "inputs": X} for call in ("steps", "streams")]):
        if model.resolved_params_["bidirectional"]:
            assert "bidirectional" in found["error"]
            continue
        last = [steps[-1]["probabilities"] for steps in found]
        np.testing.assert_allclose(last, model.predict_proba(X), **TOLERANCE)


def test_gates_and_attention_of_a_text(classifier):
    model, path = classifier
    X = texts(2, seed=3)
    (found,) = run([{"model": path, "call": "inspect", "inputs": X}])
    for text, answer in zip(X, found, strict=True):
        trace = recurra.trace(model, [text])
        for name, gate in {**answer["gates"], **answer["states"]}.items():
            np.testing.assert_allclose(tensor(gate), trace[name].values[:, :, 0], **TOLERANCE)
        (shown,) = model.encoder_.shown([text])
        assert len(answer["pieces"]) == len(shown)
        if model.resolved_params_["pooling"] == "attention":
            assert np.isclose(sum(answer["attention"]), 1)


@pytest.fixture(scope="module")
def regressor(tmp_path_factory):
    """A regressor with two targets on series with missing values and a constant feature."""
    X, y = series(60)
    model = SequenceRegressor(hidden_size=9, epochs=2, bidirectional=False, random_state=0).fit(X, y)
    return model, export(model, tmp_path_factory.mktemp("model") / "model.safetensors")


def series(count: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    X = [100 + 7 * random.standard_normal((n, 3)) for n in random.integers(1, 25, count)]
    for row in X:
        row[:, 1] = 5
        row[random.random(len(row)) < 0.2, 2] = np.nan
    return X, np.stack([[row[:, 0].mean(), 1e4 * row[-1, 0]] for row in X])


def test_200_series_have_the_same_numbers(regressor):
    model, path = regressor
    X, _ = series(200, seed=1)
    whole, *steps = run([{"model": path, "call": call, "inputs": X} for call in ("predict", "steps", "streams")])
    predicted = model.predict(X)
    for found in (whole, *([answer[-1] for answer in found] for found in steps)):
        values = np.array([answer["values"] for answer in found])
        np.testing.assert_allclose(values / model.target_scale_, predicted / model.target_scale_, rtol=1e-6, atol=1e-5)


def test_numbers_that_the_model_cannot_read_are_refused(regressor):
    _, path = regressor
    wrong = {
        "3 numbers, not 2": [[1, 2]],
        "3 numbers, not 1": [["x"]],
        'numbers, not "x"': [[1, "x", 2]],
        "reads steps of numbers": "x",
        "1e+20 standard deviations": [[1, 5, 1e21]],
    }
    found = run(
        [{"model": path, "call": call, "inputs": [one]} for call in ("predict", "inspect") for one in wrong.values()]
    )
    for part, answer in zip([*wrong, *wrong], found, strict=True):
        assert part in answer["error"]
    (alone,) = run([{"model": path, "call": "predict", "inputs": "x"}])
    assert "a list of inputs" in alone["error"]
    del wrong["reads steps of numbers"]
    found = run(
        [{"model": path, "call": call, "inputs": [one]} for call in ("steps", "streams") for one in wrong.values()]
    )
    for part, answer in zip([*wrong, *wrong], found, strict=True):
        assert part in answer["error"]


def test_numbers_as_classes(tmp_path):
    X, _ = series(40)
    y = [int(row[:, 0].mean() > 100) for row in X]
    model = SequenceClassifier(hidden_size=4, epochs=1, random_state=0).fit(X, y)
    path = export(model, tmp_path / "model.safetensors")
    (found,) = run([{"model": path, "call": "predict", "inputs": X}])
    assert [answer["label"] for answer in found] == model.predict(X).tolist()


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (torch.nn.Linear(2, 3), "not Linear"),
        (nn.Recurrent(recurra.cells.LSTM(), 2, 3), "not Recurrent"),
    ],
)
def test_other_models_are_refused(model, part, tmp_path):
    with pytest.raises(UsageError, match=part):
        export(model, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_memory_is_refused(tmp_path):
    X, _ = series(20)
    model = SequenceClassifier(cell="none", hidden_size=4, epochs=1, random_state=0).fit(X, [0, 1] * 10)
    with pytest.raises(UsageError, match="not the layer Memoryless"):
        export(model, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_package_has_the_version_of_the_project():
    from importlib.metadata import version
    from json import loads

    package = loads((FOLDER / "package.json").read_text())
    assert package["version"] == version("recurra")
    assert all(list(FOLDER.glob(name)) for name in package["files"])
