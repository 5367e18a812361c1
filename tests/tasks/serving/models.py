"""Small models of all tasks, trained once per process."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import recurra

QUICK = {"hidden_size": 8, "epochs": 1, "verbose": 0, "random_state": 0}
TEXTS = ["a good film", "a bad film", "so good", "so bad", "the film is good", "the film is bad"] * 8
KINDS = (
    *("texts", "series", "one feature", "sounds", "numbers", "running text", "labelled texts", "tags"),
    "tagged steps",
    *("translations", "blanks", "speech", "numbers in time", "several numbers in time", "table", "shops"),
)


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
    if kind == "tags":
        words = [["Anna", "sleeps"], ["Ben", "and", "Anna", "sing"]] * 20
        return recurra.SequenceTagger(**QUICK).fit(words, [["N", "V"], ["N", "C", "N", "V"]] * 20)
    if kind == "tagged steps":
        X = _series(2)
        return recurra.SequenceTagger(**QUICK).fit(X, [["on" if step[0] > 0 else "off" for step in x] for x in X])
    if kind == "translations":
        quick = {**QUICK, "epochs": 4, "learning_rate": 0.02}
        sources, targets = ["good day", "good night", "bad day"], ["bonjour", "bonne nuit", "mauvais jour"]
        return recurra.Translator(embedding_size=8, **quick).fit(sources * 20, targets * 20)
    if kind == "blanks":
        texts = ["the cat drinks milk", "the dog eats meat", "a cat drinks water", "a dog eats bread"] * 15
        return recurra.BlankFiller(embedding_size=8, **QUICK).fit(texts)
    if kind == "speech":
        return recurra.Transcriber(num_layers=1, **QUICK).fit(_sounds(24), ["ab", "ba", "a"] * 8)
    return _forecaster(kind)


def _forecaster(kind: str) -> Any:
    quick = {**QUICK, "horizon": 3, "context": 6}
    waves = np.sin(np.arange(160).reshape(80, 2)) + 3
    if kind == "numbers in time":
        return recurra.Forecaster(**quick).fit(waves[:, 0])
    if kind == "several numbers in time":
        return recurra.Forecaster(**quick, quantiles=()).fit(waves)
    days = (np.datetime64("2024-01-01") + np.arange(80)).astype(str).tolist()
    if kind == "table":
        table = {"date": days, "load": waves[:, 0], "rain": waves[:, 1]}
        return recurra.Forecaster(**quick).fit(table, time="date", target="load", features="rain")
    table = {
        "day": days * 2,
        "shop": ["north"] * 80 + ["south"] * 80,
        "sold": [*waves[:, 0], *(9 * waves[:, 1])],
        "holiday": [float(i % 7 == 0) for i in range(80)] * 2,
    }
    return recurra.Forecaster(**quick).fit(table, time="day", target="sold", known="holiday", id="shop")
