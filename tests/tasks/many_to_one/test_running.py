"""Evaluation in parts gives the metrics of all data together."""

from __future__ import annotations

import re

import numpy as np
import pytest

from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import DataError

PARAMS = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "random_state": 0, "verbose": 0}


def texts(count: int) -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(["good", "bad", "film", "plot", ""], 5)) for _ in range(count)]


def close(one, other) -> None:
    """Compares nested metrics. Sums in another order differ in the last digits, which may round differently."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            close(one[key], other[key])
    elif isinstance(one, str):
        assert re.sub(r"[0-9]", "", one) == re.sub(r"[0-9]", "", other)
    else:
        assert one == pytest.approx(other, rel=1e-6, nan_ok=True)


def check(model, X, y) -> None:
    running = model.running_evaluation()
    for start in (0, 7, 50):
        stop = {0: 7, 7: 50, 50: len(X)}[start]
        running.add(X[start:stop], y[start:stop])
    close(running.result(), model.evaluate(X, y))
    empty = model.running_evaluation()
    empty.add(X[:3], np.full(3, np.nan) if y.dtype.kind == "f" else np.array([None] * 3, object))
    with pytest.raises(DataError, match="every target is missing"):
        empty.result()


def test_classes():
    X = texts(240)
    y = np.array([str(sum(word == "good" for word in text.split())) for text in X], object)
    y[5] = None
    check(SequenceClassifier(**PARAMS).fit(X, y), X, y)


def test_numbers():
    X = texts(240)
    y = np.array([3e6 + len(text) for text in X])
    y[5] = np.nan
    check(SequenceRegressor(**PARAMS).fit(X, y), X, y)


def test_the_comparison_is_the_same():
    X = texts(400)
    y = np.array(["yes" if "good" in text.split() else "no" for text in X], object)
    model = SequenceClassifier(**{**PARAMS, "epochs": 30, "learning_rate": 0.02}).fit(X, y)
    for count in (3, 40, 400):
        running = model.running_evaluation()
        running.add(X[:count], y[:count])
        found, whole = running.result(), model.evaluate(X[:count], y[:count])
        assert found["comparison"] == whole["comparison"]
