"""The checks of scikit-learn: every one passes, or stands in the table with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import cross_validate
from sklearn.utils import estimator_checks
from sklearn_table import EXCLUDED, WITHOUT_ARRAYS, shown

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import DataError
from recurra.tasks import ESTIMATORS

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "sklearn.md"
SMALL: dict[str, Any] = {"hidden_size": 4, "batch_size": 32, "learning_rate": 0.03, "verbose": 0}
READ_ARRAYS = [
    SequenceClassifier(**SMALL, epochs=3, members=1),
    SequenceRegressor(**SMALL, epochs=1, members=1),
]
SLOW = {
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_multilabel_representation_invariance",
    "check_classifiers_train",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_fit_score_takes_y",
    "check_regressor_data_not_an_array",
    "check_regressors_train",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
}


def cases() -> Iterator[Any]:
    for estimator in READ_ARRAYS:
        name = type(estimator).__name__
        for _, check in estimator_checks.estimator_checks_generator(estimator, legacy=True):
            function, given = check, estimator
            while isinstance(function, partial):
                function = function.func
            known = EXCLUDED[name].get(function.__name__)
            marks = [] if known is None else [pytest.mark.xfail(strict=True, reason=known)]
            marks += [pytest.mark.slow] if function.__name__ in SLOW else []
            if function.__name__ == "check_regressors_train":
                given = clone(estimator).set_params(members=2)  # with the ridge regression, which learns the task
            yield pytest.param(given, check, marks=marks, id=f"{name}-{function.__name__}")


@pytest.mark.parametrize(("estimator", "check"), list(cases()))
def test_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", WITHOUT_ARRAYS)
@pytest.mark.parametrize("task", sorted(ESTIMATORS))
def test_estimators_of_other_data(task, check):
    estimator = ESTIMATORS[task]()
    assert estimator.__sklearn_tags__().input_tags.two_d_array == (task in ("classify", "regress"))
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


def test_guide_shows_the_table():
    assert shown() in GUIDE.read_text(encoding="utf-8")


ROWS = np.random.default_rng(0).normal(size=(24, 3)).cumsum(1)
LABELS = np.where(ROWS[:, -1] > ROWS[:, 0], "up", "down")
FRAME = pd.DataFrame(ROWS, columns=["mon", "tue", "wed"])
QUICK: dict[str, Any] = {"hidden_size": 3, "epochs": 1, "members": 1, "verbose": 0}


@pytest.fixture(scope="module")
def of_table():
    return SequenceClassifier(**QUICK).fit(FRAME, LABELS)


@pytest.mark.parametrize("kind", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas])
def test_columns_of_a_table_are_matched_by_name(of_table, kind):
    assert of_table.feature_names_in_.tolist() == ["mon", "tue", "wed"]
    assert of_table.n_features_in_ == 3
    expected = of_table.predict_proba(ROWS)
    assert not np.array_equal(of_table.predict_proba(ROWS[:, ::-1].copy()), expected)
    np.testing.assert_array_equal(of_table.predict_proba(kind(FRAME[["wed", "mon", "tue"]])), expected)
    with pytest.raises(DataError, match="X lacks wed and has the unknown sun; the model's columns are mon, tue, wed"):
        of_table.predict(kind(FRAME.rename(columns={"wed": "sun"})))


def test_names_and_number_of_columns_are_saved(of_table, tmp_path):
    of_table.save(tmp_path / "named")
    again = recurra.load(tmp_path / "named")
    assert (again.n_features_in_, again.feature_names_in_.tolist()) == (3, ["mon", "tue", "wed"])
    np.testing.assert_array_equal(again.predict_proba(FRAME[["tue", "wed", "mon"]]), of_table.predict_proba(FRAME))
    again = SequenceClassifier(**QUICK).fit(np.stack([ROWS, ROWS], 2), LABELS)
    assert again.n_features_in_ == 2
    again.fit(ROWS, LABELS).save(tmp_path / "plain")
    assert recurra.load(tmp_path / "plain").n_features_in_ == 3
    again.fit(["a", "b"] * 12, LABELS)
    assert not hasattr(again, "n_features_in_")


def test_columns_without_names_are_read_by_position(of_table):
    numbered = FRAME.set_axis([2, 1, 0], axis=1)
    np.testing.assert_array_equal(of_table.predict_proba(numbered), of_table.predict_proba(ROWS))
    assert not hasattr(SequenceClassifier(**QUICK).fit(numbered, LABELS), "feature_names_in_")


def test_sample_weights_are_routed():
    weights = np.linspace(0, 1, len(ROWS))
    split = [(np.arange(12, 24), np.arange(12))]
    with sklearn.config_context(enable_metadata_routing=True):
        model = SequenceClassifier(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        found = cross_validate(model, ROWS, LABELS, params={"sample_weight": weights}, cv=split, return_estimator=True)[
            "estimator"
        ][0]
    weighted = SequenceClassifier(**QUICK).fit(ROWS[12:], LABELS[12:], weights[12:])
    np.testing.assert_array_equal(found.predict_proba(ROWS), weighted.predict_proba(ROWS))
    plain = SequenceClassifier(**QUICK).fit(ROWS[12:], LABELS[12:])
    assert not np.array_equal(plain.predict_proba(ROWS), weighted.predict_proba(ROWS))
