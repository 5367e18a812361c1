"""Losses and metrics of users for tagging, translation, transcription and forecasts.

tests/tasks/many_to_one/metrics/test_own.py has those of classifiers and regressors.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torchmetrics import MeanAbsoluteError
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.text import CharErrorRate, CHRFScore

import recurra
from killing import killed_after
from recurra import Forecaster, SequenceTagger, Transcriber, Translator
from recurra.errors import UsageError

TEXTS = [f"{a} {b}" for a in ("good", "bad", "so", "no") for b in ("film", "day", "man", "cat")] * 2
WORDS = [text.split() for text in TEXTS]
SOUNDS = [(np.random.default_rng(i).normal(size=4000).astype(np.float32) / 9, 16000) for i in range(10)]
QUICK: dict[str, Any] = {"hidden_size": 4, "epochs": 2, "batch_size": 8, "verbose": 0}
token_loss = partial(torch.nn.functional.cross_entropy, reduction="none")


def absolute(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (output - target).abs()


def hits(true: Any, found: Any) -> float:
    return float(np.mean([one == other or other in one for one, other in zip(true, found, strict=True)]))


def largest(true: np.ndarray, found: np.ndarray) -> float:
    return float(np.abs(true - found).max())


class Case(NamedTuple):
    kind: Any
    options: dict[str, Any]
    data: tuple[Any, ...]
    loss: Any
    metric: Any
    object: Any
    same_as: str | None


CASES = {
    "tag": Case(
        SequenceTagger,
        {"validation_fraction": 0.3},
        (WORDS, [[word[0] for word in row] for row in WORDS]),
        token_loss,
        hits,
        MulticlassAccuracy(num_classes=8, average="micro"),
        "accuracy",
    ),
    "translate": Case(
        Translator,
        {"label_smoothing": 0.0, "tokens": "word", "validation_fraction": 0.3},
        (TEXTS, TEXTS[::-1]),
        token_loss,
        hits,
        CHRFScore(n_word_order=0),
        None,
    ),
    "transcribe": Case(
        Transcriber, {"validation_fraction": 0.3}, (SOUNDS, ["ab", "ba"] * 5), None, hits, CharErrorRate(), "cer"
    ),
    "forecast": Case(
        Forecaster,
        {"horizon": 3, "context": 8, "segment": 2},
        (np.random.default_rng(0).normal(7, 2, size=90),),
        absolute,
        largest,
        MeanAbsoluteError(),
        "mae_units",
    ),
}


def model_of(task: str, **given: Any) -> Any:
    case = CASES[task]
    return case.kind(**{**QUICK, **case.options, **given})


def own(task: str) -> dict[str, Any]:
    case = CASES[task]
    return {"metrics": {"own": case.metric, "theirs": case.object}, **({"loss": case.loss} if case.loss else {})}


def weights(model: Any) -> list[np.ndarray]:
    return [value.numpy() for value in model.network_.state_dict().values()]


@pytest.mark.parametrize("task", CASES)
def test_own_loss_and_metrics(task, tmp_path):
    case = CASES[task]
    plain = model_of(task).fit(*case.data)
    model = model_of(task, **own(task)).fit(*case.data)
    assert all(map(np.array_equal, weights(plain), weights(model)))  # the loss is that of the task
    found, expected = model.evaluate(*case.data), plain.evaluate(*case.data)
    numbers = {name: value for name, value in expected.items() if isinstance(value, float)}
    assert {name: found[name] for name in numbers} == pytest.approx(numbers, rel=1e-6)
    assert all({"own", "theirs"} <= metrics.keys() for metrics in found["baselines"].values())
    assert {"own", "theirs"} <= model.metrics_["valid"].keys()
    if case.same_as is not None:
        assert found["theirs"] == pytest.approx(found[case.same_as], rel=1e-5)
    model.save(tmp_path / "m")
    assert case.metric.__name__ in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    with pytest.warns(UserWarning, match="the model was trained with .*which its folder does not contain"):
        loaded = recurra.load(tmp_path / "m")
    assert "own" not in loaded.evaluate(*case.data)
    assert loaded.set_params(**own(task)).evaluate(*case.data) == found


def test_metrics_get_what_predict_gives():
    tagger = model_of("tag", **own("tag")).fit(*CASES["tag"].data)
    X, y = CASES["tag"].data
    pairs = [pair for true, found in zip(y, tagger.predict(X), strict=True) for pair in zip(true, found, strict=True)]
    assert tagger.evaluate(X, y)["own"] == hits(*zip(*pairs, strict=True))
    translator = model_of("translate", **own("translate")).fit(*CASES["translate"].data)
    X, y = CASES["translate"].data
    sources = list(dict.fromkeys(X))
    references = [[other for text, other in zip(X, y, strict=True) if text == source] for source in sources]
    assert translator.evaluate(X, y)["own"] == hits(references, translator.predict(sources))


@pytest.mark.parametrize("task", ["tag", "translate", "forecast"])
def test_a_run_that_was_killed_has_the_same_weights(task, tmp_path):
    def fit(folder: str, resume: bool) -> Any:
        folder_of = {"checkpoint": tmp_path / folder, "checkpoint_minutes": 0, "resume": resume}
        return model_of(task, **own(task)).fit(*CASES[task].data, **folder_of)

    with killed_after(3):
        fit("run", resume=False)
    again, whole = fit("run", resume=True), fit("whole", resume=False)
    assert again.resumed_
    assert all(map(np.array_equal, weights(again), weights(whole)))


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("tag", {"crf": True, "loss": token_loss}, "crf=True has its own loss"),
        ("tag", {"loss": lambda output, target: output.sum()}, r"one value per tag, \(\d+,\), but it returned"),
        ("translate", {"loss": lambda output, target: 3.0}, "one value per token"),
        ("translate", {"metrics": {"bleu": hits}}, "the task has a metric bleu already"),
        (
            "forecast",
            {"loss": lambda output, target: output.mean()},
            r"shape \(batch, horizon, targets\) = \(8, 3, 1\)",
        ),
        ("forecast", {"loss": "huge"}, "loss is one of l1, l2, huber, or a function, not 'huge'"),
    ],
)
def test_what_is_refused(task, given, message):
    with pytest.raises(UsageError, match=message):
        model_of(task, **given).fit(*CASES[task].data)


def test_missing_values_are_not_measured():
    y = np.random.default_rng(0).normal(7, 2, size=90)
    y[[50, 86]] = np.nan
    model = model_of("forecast", **own("forecast")).fit(y)
    found = model.evaluate(y)
    assert found["theirs"] == pytest.approx(found["mae_units"], rel=1e-5)
    assert np.isfinite(found["own"])
