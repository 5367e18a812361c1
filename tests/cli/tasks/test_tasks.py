"""One sequence of a source, as the tools that look inside take it."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recurra.cli.support.options import EvaluateOptions, PredictOptions
from recurra.cli.tasks import module_of, one, source_of, task_module
from recurra.data.columns.panel import NUMBERS, Columns
from recurra.errors import DataError, UsageError
from recurra.io import Provenance
from recurra.tasks.registry import BUILT_IN

READS = ["tag", "generate", "translate", "fill", "classify", "regress"]


def model(task: str, kind: str = "text", **more) -> SimpleNamespace:
    """As much of an estimator as reading a source needs."""
    names = Provenance(input_column="text", source_column="text")
    more = {"provenance_": names, "encoder_": SimpleNamespace(kind=kind), "classes_": np.array([]), **more}
    more["accepts_text"] = task in READS and (kind == "text" or task not in ("classify", "regress"))
    return SimpleNamespace(task=task, title=task, set_params=lambda **_: None, beam_size=1, bleu_tokens_="13a", **more)


@pytest.mark.parametrize("task", READS)
@pytest.mark.parametrize("text", ["이 영화 정말 재미없다", "great", "a.b and c.csv", "가" * 5000])
def test_a_text(task, text):
    X = one(model(task), source_of(model(task), text), PredictOptions())[0]
    assert ([text.split()] if task == "tag" else [text]) == X


@pytest.mark.parametrize("name", ["missing.csv", "missing.wav", "missing.flac", "missing.ts"])
def test_a_file_that_is_missing_is_no_text(name):
    with pytest.raises(DataError, match="there is no file"):
        source_of(model("classify"), name)


@pytest.mark.parametrize("task", [t for t in READS if t != "tag"])
def test_a_row_of_a_table(task, tmp_path):
    file = tmp_path / "texts.csv"
    file.write_text("text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(1, 6)), encoding="utf-8")
    for row in (1, 5):
        X = one(model(task), str(file), PredictOptions(), row)[0]
        assert (X if isinstance(X, list) else X.to_pylist()) == [f"text {row}"]
    for row in (0, 6, -1):
        with pytest.raises(UsageError, match=f"no row {row} in .*rows are counted from 1 to 5"):
            one(model(task), str(file), PredictOptions(), row)


@pytest.mark.parametrize("task", READS)
def test_a_file_that_is_not_there(task):
    with pytest.raises(DataError, match="missing"):
        one(model(task, target=""), "missing.csv" if task != "tag" else "missing.conllu", PredictOptions())


def test_rows_are_counted_over_all_chunks(tmp_path):
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "".join(f"text {i}\n" for i in range(1, 5001)), encoding="utf-8")
    for task in ("classify", "translate", "fill", "generate"):
        X = one(model(task), str(file), PredictOptions(), 4500)[0]
        assert (X if isinstance(X, list) else X.to_pylist()) == ["text 4500"]


def test_a_language_models_labels(tmp_path):
    labelled = model("generate", classes_=np.array(["n", "p"]))
    assert one(labelled, ["good film"], PredictOptions(condition="p")) == (["good film"], ["p"])
    labelled.provenance_.condition_column = "label"
    file = tmp_path / "texts.csv"
    file.write_text("text,label\ngood,p\nbad,n\n", encoding="utf-8")
    X, y = one(labelled, str(file), PredictOptions(), 2)
    assert (X.to_pylist(), y.tolist()) == (["bad"], ["n"])


def test_standard_input(monkeypatch):
    class Pipe(io.BytesIO):
        def fileno(self):
            return 0

    monkeypatch.setattr(sys, "stdin", Pipe())
    blocks = iter([b"first\nsec", b"ond\nthird\n", b""])
    monkeypatch.setattr("recurra.cli.support.stdin.os.read", lambda *_: next(blocks))
    assert one(model("classify"), "-", PredictOptions(), 2) == (["second"],)


def test_sentences_series_and_sounds(tmp_path):
    conll = tmp_path / "words.conll"
    conll.write_text("Anna N\nsleeps V\n\nBen N\n\n", encoding="utf-8")
    assert one(model("tag", provenance_=Provenance()), str(conll), PredictOptions(), 2) == ([["Ben"]],)

    np.savez(tmp_path / "series.npz", X=np.arange(24.0).reshape(3, 4, 2))
    (X,) = one(model("classify", "series", provenance_=Provenance()), str(tmp_path / "series.npz"), PredictOptions(), 2)
    np.testing.assert_array_equal(X.rows[0], np.arange(8.0, 16.0).reshape(4, 2))
    assert (len(X), X.features) == (1, 2)

    soundfile = pytest.importorskip("soundfile")
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(800), 8000)
    table = tmp_path / "sounds.csv"
    table.write_text("path,text\na.wav,a\nb.wav,b\n", encoding="utf-8")
    assert one(model("transcribe", provenance_=Provenance()), str(table), PredictOptions(), 2) == (
        [tmp_path / "b.wav"],
    )
    assert one(model("transcribe"), str(tmp_path / "a.wav"), PredictOptions()) == ([tmp_path / "a.wav"],)


def test_one_of_several_series_with_its_future(tmp_path):
    columns = Columns("day", ("sold",), (), ("open",), "shop")
    preparation = SimpleNamespace(columns=columns, categories={}, frequency=NUMBERS, spelling=None)
    forecaster = model("forecast", preparation_=preparation, fill_gaps=False)
    history, future = tmp_path / "history.csv", tmp_path / "future.csv"
    history.write_text("day,sold,open,shop\n1,5,0,a\n2,6,1,a\n1,7,0,b\n2,8,1,b\n", encoding="utf-8")
    future.write_text("day,open,shop\n3,1,a\n3,0,b\n", encoding="utf-8")
    (panel,) = one(forecaster, str(history), PredictOptions(future=future), 2)
    (series,) = panel.series
    assert (len(panel), series.id) == (1, "b")
    assert series.values[:, 0].tolist() == [7, 8]
    assert series.known[:, 0].tolist() == [0, 1, 0]
    with pytest.raises(UsageError, match="no row 3"):
        one(forecaster, str(history), PredictOptions(), 3)


@pytest.mark.parametrize("task", [task.name for task in BUILT_IN])
def test_options_that_do_not_fit_a_model_are_refused(task):
    changed = {"proba": True, "choices": "a,b", "beam": 2, "top": 9, "future": Path("f.csv"), "day_first": True}
    module = task_module(task)
    assert set(module.OPTIONS) <= {field.name for field in dataclasses.fields(PredictOptions)}
    for name, value in changed.items():
        options = PredictOptions(**{name: value}, encoding="utf-8", decimal=",")
        if name in module.OPTIONS:
            assert module_of(model(task), options) is module
            continue
        message = rf"--{name.replace('_', '-')} does not fit this model, which is a {task}; options that fit: --"
        with pytest.raises(UsageError, match=message) as error:
            module_of(model(task), options)
        assert error.value.exit_code == 2
        assert f"--{module.OPTIONS[0].replace('_', '-')}, " in str(error.value)
    if task not in ("classify", "regress"):
        with pytest.raises(UsageError, match="--by does not fit this model"):
            module_of(model(task), EvaluateOptions(by="city"))
