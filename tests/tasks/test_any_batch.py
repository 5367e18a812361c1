"""A prediction has the same bits whatever else is predicted in the same call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from schema1.inputs import EXPECTED, FOLDERS

import recurra

HIDDEN = 100  # several vectors and a rest
WORDS = ["a", "good", "film", "bad", "좋은", "영화", "나쁜", "really", "so", "one", "the", "cat", "drinks", "milk"]


def drawn(count: int, least: int = 1, most: int = 20) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, len(WORDS), random.integers(least, most)) for _ in range(count)]


def texts() -> list[str]:
    return [" ".join(WORDS[i] for i in row) for row in drawn(12)]


def series() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(len(row), 2)) for row in drawn(12, most=70)]


def sounds() -> list[tuple[np.ndarray, int]]:
    random = np.random.default_rng(0)
    return [(random.normal(size=400 * len(row)) / 9, 8000) for row in drawn(8)]


CALLS: dict[str, tuple[Callable[[], list[Any]], Callable[[Any, Any], Any]]] = {
    "classify": (texts, lambda model, X: model.predict_proba(X)),
    "regress": (series, lambda model, X: model.predict(X)),
    "tag": (lambda: [t.split() for t in texts()], lambda model, X: zip(*model.predict_with_confidence(X), strict=True)),
    "generate": (texts, lambda model, X: model.top(X, k=9)),
    "translate": (texts, lambda model, X: model.candidates(X)),
    "fill": (lambda: [f"{text} [ ] {text}" for text in texts()], lambda model, X: model.predict(X, top=4)),
    "transcribe": (sounds, lambda model, X: model.transcribe(X)),
    "classify-series": (series, lambda model, X: model.predict_proba(X)),
    "classify-sounds": (sounds, lambda model, X: model.predict_proba(X)),
}


@pytest.mark.parametrize("name", [name for name in EXPECTED if not name.startswith("forecast")])
def test_alone_as_among_others(name):
    if name in ("classify-sounds", "transcribe"):
        pytest.importorskip("kaldi_native_fbank")
    model = recurra.load(FOLDERS / name).set_params(hidden_size=HIDDEN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.network_ = model._build()
    make, call = CALLS.get(name) or CALLS[name.partition("-")[0]]
    X = make()
    whole = list(call(model, X))
    groups = [[0], [1], [2], [3, 4], [5, 6, 7], list(reversed(range(len(X))))]
    for group in groups:
        for at, one in zip(group, call(model, [X[i] for i in group]), strict=True):
            assert same(one, whole[at]), (name, group, at)


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("name", ["forecast", "forecast-arrays"])
def test_a_forecast_alone_as_among_others(name):
    model = recurra.load(FOLDERS / name).set_params(hidden_size=HIDDEN)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.network_ = model._build()
        layout = model.preparation_.layout
        values = torch.randn(9, model.context_, layout.width)
        future = torch.randn(9, model.horizon, layout.known)
    whole = model._answer(values, future)
    for group in ([0], [1], [2, 3], [4, 5, 6], list(reversed(range(9)))):
        assert torch.equal(model._answer(values[group], future[group]), whole[group]), group
