"""The tools that look inside take a model of every task, and `recurra inspect` takes its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import recurra
from recurra import inspect as inside
from recurra.errors import UsageError
from recurra.tasks.base import Estimator
from recurra.tasks.registry import BUILT_IN

QUICK = {"hidden_size": 6, "epochs": 1, "batch_size": 8, "verbose": 0}
SMALL = QUICK | {"embedding_size": 5}
LINES = ["the cat drinks milk", "the dog eats meat", "a cat drinks water", "a dog eats bread"] * 6
RATE = 8000


def classify() -> tuple[Estimator, Any, Any]:
    return recurra.SequenceClassifier(**SMALL, tokens="word").fit(LINES, ["+", "-"] * 12), LINES[:2], ["+", "-"]


def regress() -> tuple[Estimator, Any, Any]:
    X = [np.full((n % 4 + 2, 2), n % 3, dtype=float) for n in range(24)]
    return recurra.SequenceRegressor(**QUICK).fit(X, [x.sum() for x in X]), X[:3], [1.0, 2.0, 3.0]


def tag() -> tuple[Estimator, Any, Any]:
    X = [line.split() for line in LINES]
    y = [["N" if len(word) > 3 else "D" for word in words] for words in X]
    return recurra.SequenceTagger(**SMALL, char_hidden_size=4).fit(X, y), X[:2], y[:2]


def forecast() -> tuple[Estimator, Any, Any]:
    wave = np.sin(np.arange(70) * np.pi / 6)
    table = {"step": list(range(64)), "sold": wave[:64].tolist()}
    model = recurra.Forecaster(**QUICK, horizon=6, context=20, segment=4)
    return model.fit(table, time="step"), table, wave[64:]


def generate() -> tuple[Estimator, Any, Any]:
    return recurra.LanguageModel(**SMALL).fit(LINES), LINES[:2], None


def fill() -> tuple[Estimator, Any, Any]:
    return recurra.BlankFiller(**SMALL).fit(LINES), ["the cat [ ] milk and water", "a [ ] eats [ ] here"], None


def translate() -> tuple[Estimator, Any, Any]:
    y = [line[::-1] for line in LINES]
    return recurra.Translator(**SMALL, tokens="word", validation_fraction=0).fit(LINES, y), LINES[:2], y[:2]


def transcribe() -> tuple[Estimator, Any, Any]:
    pytest.importorskip("soundfile")
    time = np.arange(1600) / RATE
    X = [(np.sin(2 * np.pi * hertz * time), RATE) for hertz in (250, 800)] * 12
    return recurra.Transcriber(**QUICK, num_layers=1).fit(X, ["가", "나"] * 12), X[:2], ["가", "나"]


TASKS: dict[str, Callable[[], tuple[Estimator, Any, Any]]] = {
    task.name: globals()[task.name]
    for task in BUILT_IN  # a task without a function here is an error
}


@pytest.fixture(scope="module", params=TASKS)
def fitted(request):
    return TASKS[request.param]()


def test_tools(fitted):
    model, X, y = fitted
    subject = model.subject(X, y)
    trace = inside.trace(subject)
    assert trace.parts
    for of in ("each", "score", *(["loss"] if subject.loss else [])):
        assert inside.gradient_reach(model, X, y, of=of).verdict
    for method in inside.METHODS:
        if method == "removal" and model.task not in ("classify", "regress"):
            with pytest.raises(UsageError, match="one prediction per sequence"):
                inside.attribute(model, X, method=method)
            continue
        found = inside.attribute(model, X, method=method).values
        assert np.isfinite(found.values).sum() == found["length"].sum()
    for name in trace.parts:
        if "call" in name:
            continue
        effect = inside.intervene(model, X, [inside.ablate(part=name)], y)
        assert not np.array_equal(effect.score_before, effect.score_after), name
        if trace.parts[name].sizes["batch"] == len(subject.batch.lengths):  # not that which spells words
            assert inside.max_activating(model, X, inside.UnitName(name, 0, "forward", 1)).high
    for measure in (inside.half_lives, inside.impulse_response, inside.jacobian_spectrum):
        assert measure(model, X).verdict
    assert inside.health(model, X, y).to_json()


@pytest.mark.slow
def test_command_line(fitted, tmp_path, monkeypatch, capfd):
    import sys

    from recurra import cli

    model, X, _ = fitted
    monkeypatch.chdir(tmp_path)
    model.save("model")
    source = {"regress": "series.npz", "forecast": "sold.csv", "transcribe": "sound.wav"}.get(model.task)
    if model.task == "regress":
        np.savez("series.npz", X=X[0][None])
    elif model.task == "forecast":
        rows = zip(*X.values(), strict=True)
        (tmp_path / "sold.csv").write_text("step,sold\n" + "".join(f"{step},{sold}\n" for step, sold in rows))
    elif model.task == "transcribe":
        import soundfile

        soundfile.write("sound.wav", *X[0])
    else:
        source = " ".join(X[0]) if model.task == "tag" else X[0]
    monkeypatch.setattr(sys, "argv", ["recurra", "inspect", "model", source, "--json", "--out", "report.html"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capfd.readouterr()
    assert stop.value.code == 0, err
    found = json.loads(out)
    assert found["answer"] == model.subject(X).answers[0]
    assert {row["part"] for row in found["layers"]} == set(inside.trace(model, X).parts)
    assert (tmp_path / "report.html").stat().st_size > 10_000
