"""Small models of all tasks, trained once per process."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import recurra

QUICK = {"hidden_size": 8, "epochs": 1, "verbose": 0, "random_state": 0}
TEXTS = ["a good film", "a bad film", "so good", "so bad", "the film is good", "the film is bad"] * 8
KINDS = ("texts", "series", "one feature", "sounds", "numbers", "running text", "labelled texts")


def _sounds(count: int) -> list[Any]:
    random = np.random.default_rng(0)
    return [(random.normal(size=400 + 80 * (i % 5)).astype(np.float32), 8000) for i in range(count)]


def _series(features: int, count: int = 24) -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.normal(size=(3 + i % 4, features)) for i in range(count)]


@cache
def model(kind: str) -> Any:
    """Returns a fitted model of a kind."""
    labels = ["pos", "neg"] * 24
    if kind == "texts":
        return recurra.SequenceClassifier(tokens="word", **QUICK).fit(TEXTS, labels)
    if kind in ("series", "one feature"):
        X = _series(2 if kind == "series" else 1)
        return recurra.SequenceClassifier(**QUICK).fit(X, labels[: len(X)])
    if kind == "sounds":
        return recurra.SequenceClassifier(**QUICK).fit(_sounds(24), labels[:24])
    if kind == "numbers":
        X = _series(2)
        return recurra.SequenceRegressor(**QUICK).fit(X, [[x.sum(), x.mean()] for x in X])
    if kind == "running text":
        return recurra.LanguageModel(bptt=16, embedding_size=8, **QUICK).fit("a cat sat on the mat\n" * 40)
    if kind == "labelled texts":
        return recurra.LanguageModel(embedding_size=8, **QUICK).fit(TEXTS, labels)
    raise KeyError(kind)
