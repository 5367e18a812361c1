"""The same seed gives the same weights, bit by bit, with any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from recurra import (
    BlankFiller,
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
    Translator,
)

LARGE = {"epochs": 1, "hidden_size": 160, "batch_size": 24, "verbose": 0, "random_state": 3}
ODD = {**LARGE, "hidden_size": 129}
"""Widths at which versions up to 0.1 gave other weights with another number of threads, on a processor with AVX-512."""


def sentences(count: int, words: int, different: int = 900) -> list[str]:
    random = np.random.default_rng(0)
    names = ["".join(random.choice(list("abcdefghijklmnop"), random.integers(2, 7))) for _ in range(different)]
    return [" ".join(random.choice(names, words)) for _ in range(count)]


def series(count: int, steps: int = 30) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(steps, 5)) for _ in range(count)]


def classify_texts():
    return SequenceClassifier(**LARGE, tokens="word").fit(sentences(60, 12), np.arange(60) % 5)


def classify_series():
    return SequenceClassifier(**LARGE, num_layers=2).fit(series(72), np.arange(72) % 5)


def regress():
    return SequenceRegressor(**LARGE, cell="gru").fit(series(72), np.random.default_rng(0).normal(size=(72, 3)))


def without_memory():
    return SequenceClassifier(**LARGE, cell="none").fit(series(72), np.arange(72) % 5)


def tag(crf: bool = False):
    X = [text.split() for text in sentences(27, 17)]
    tags = [[str((7 * len(word) + ord(word[0]) + ord(word[-1])) % 37) for word in row] for row in X]
    return SequenceTagger(**ODD | {"batch_size": 9}, crf=crf).fit(X, tags)


def forecast():
    random = np.random.default_rng(0)
    y = np.sin(np.arange(420)[:, None] / np.arange(5, 12)) + random.normal(0, 0.1, (420, 7))
    options = {"features": random.normal(size=(420, 2)), "known": random.normal(size=(420, 2))}
    return Forecaster(**LARGE | {"batch_size": 64}, horizon=80, context=90).fit(y, **options)  # many losses in a batch


def language():
    return LanguageModel(**LARGE).fit(sentences(40, 40))


def translate():
    texts = sentences(60, 12)
    return Translator(**LARGE).fit(texts, [text[::-1] for text in texts])


def fill():
    return BlankFiller(**ODD | {"batch_size": 8}, embedding_size=37).fit(sentences(24, 31, 300))


def transcribe():
    random = np.random.default_rng(0)
    sounds = [(random.normal(0, 0.1, 6000).astype(np.float32), 8000) for _ in range(30)]
    return Transcriber(**LARGE).fit(sounds, ["".join(random.choice(list("abcd"), 5)) for _ in sounds])


TASKS: list[Callable[[], Any]] = [
    classify_texts,
    classify_series,
    regress,
    without_memory,
    tag,
    lambda: tag(crf=True),
    forecast,
    language,
    translate,
    fill,
    transcribe,
]
NAMES = [task.__name__.replace("<lambda>", "tag with transitions") for task in TASKS]


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_training_is_bit_identical_with_any_number_of_threads(task):
    before = torch.get_num_threads()
    weights, losses = [], []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            model = task()
            weights.append({name: value.clone() for name, value in model.network_.state_dict().items()})
            losses.append([{k: v for k, v in row.items() if "second" not in k} for row in model.history_])
    finally:
        torch.set_num_threads(before)
    for found, history in zip(weights[1:], losses[1:], strict=True):
        differing = [name for name, value in weights[0].items() if not torch.equal(value, found[name])]
        assert not differing
        assert repr(history) == repr(losses[0])  # NaN is not equal to itself
