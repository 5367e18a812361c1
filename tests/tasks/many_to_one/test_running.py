"""Evaluation in parts gives the metrics of all data together."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn import metrics as sk

from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import DataError

PARAMS = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "random_state": 0, "verbose": 0}


def texts(count: int) -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(["good", "bad", "film", "plot", ""], 5)) for _ in range(count)]


def close(one, other) -> None:
    """Compares nested metrics. Sums in another order differ in the last digits, which may round differently."""
    if isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            close(left, right)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            close(one[key], other[key])
    elif one is None or other is None:
        assert one is other
    elif isinstance(one, str):
        assert re.sub(r"[0-9]", "", one) == re.sub(r"[0-9]", "", other)
    else:
        assert one == pytest.approx(other, rel=1e-6, nan_ok=True)


def check(model, X, y) -> dict:
    by = np.array(["서울", None, *["부산"] * (len(X) - 40), *["제주"] * 38], object)
    running, other = model.running_evaluation(), model.running_evaluation()
    for start in (0, 7, 50):
        stop = {0: 7, 7: 50, 50: len(X)}[start]
        (other if start else running).add(X[start:stop], y[start:stop], by[start:stop])
    running.merge(other.sums)
    found, whole = running.result(), model.evaluate(X, y, by=by)
    assert [(row["group"], row["n"]) for row in found["groups"]] == [
        ("부산", 200 - (len(X) - whole["n"])), ("제주", 38), ("서울", 1), (None, 1),
    ]  # fmt: skip
    close(found, whole)
    empty = model.running_evaluation()
    empty.add(X[:3], np.full(3, np.nan) if y.dtype.kind == "f" else np.array([None] * 3, object))
    with pytest.raises(DataError, match="every target is missing"):
        empty.result()
    return whole


def test_classes():
    X = texts(240)
    y = np.array([str(sum(word == "good" for word in text.split())) for text in X], object)
    y[5] = None
    model = SequenceClassifier(**PARAMS).fit(X, y)
    found = check(model, X, y)
    own = [f"n{n % 3}" for n in range(len(X))]
    alone = model.evaluate(X[1::3], y[1::3])
    (row,) = [row for row in model.evaluate(X, y, by=own)["groups"] if row["group"] == "n1"]
    assert (row["n"], row["small"]) == (80, False)
    assert row["accuracy"] == pytest.approx(alone["accuracy"])
    assert row["loss"] == pytest.approx(alone["log_loss"], rel=1e-5)
    assert [row["small"] for row in found["groups"]] == [False, False, True, True]
    weight, known = np.arange(len(X)) % 5 / 2.0, np.arange(len(X)) != 5
    weighted, answers = model.evaluate(X, y, weight, by=own), model.predict(X)
    assert weighted["macro_recall"] == pytest.approx(
        sk.recall_score(y[known], answers[known], sample_weight=weight[known], average="macro", zero_division=0)
    )
    (row,) = [row for row in weighted["groups"] if row["group"] == "n1"]
    assert row["accuracy"] == pytest.approx(sk.accuracy_score(y[1::3], answers[1::3], sample_weight=weight[1::3]))
    with pytest.raises(DataError, match="more than 1,000 groups"):
        model.evaluate([*X, *X, *X, *X, *X], [*y, *y, *y, *y, *y], by=range(1200))


def test_several_numbers():
    X = texts(240)
    y = np.array([[3e6 + len(text), text.count("good"), 1.0] for text in X])
    model = SequenceRegressor(**PARAMS).fit(X, y)
    found = check(model, X, y)
    p, targets = model.predict(X), found["targets"]
    assert [row["target"] for row in targets] == [1, 2, 3]
    assert [row["rmse"] for row in targets] == pytest.approx(sk.root_mean_squared_error(y, p, multioutput="raw_values"))
    assert [row["mae"] for row in targets] == pytest.approx(sk.mean_absolute_error(y, p, multioutput="raw_values"))
    assert [row["r2"] for row in targets[:2]] == pytest.approx(
        sk.r2_score(y[:, :2], p[:, :2], multioutput="raw_values"), rel=1e-3
    )
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, p))


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
