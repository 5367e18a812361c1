"""The columns of numeric sequences, counted and named as scikit-learn does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.data.columns.inputs import Arrays
from recurra.errors import DataError


def learn_columns(estimator: Any, sequences: Arrays) -> None:
    """Sets `n_features_in_` and `feature_names_in_` of an estimator.

    They describe the columns of a table whose rows are the sequences, else the features of a step.

    Raises:
        DataError: the table has no columns.
    """
    if sequences.columns == 0:
        shape = (len(sequences), 0)
        raise DataError(f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
    if sequences.columns is None or sequences.features > 1:
        set_columns(estimator, sequences.features, sequences.names)
    else:
        set_columns(estimator, sequences.columns, sequences.step_names)


def set_columns(estimator: Any, count: int | None, names: Sequence[str] | None) -> None:
    """Sets both attributes; those that are None are absent, as in scikit-learn."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)
    if count is not None:
        estimator.n_features_in_ = count
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)


def step_columns(estimator: Any) -> int | None:
    """Returns the number of columns of a fitted estimator if they are the steps of its sequences; else None."""
    count = estimator.n_features_in_
    return None if count == estimator.encoder_.features else int(count)


def in_order(estimator: Any, sequences: Arrays) -> Arrays:
    """Returns sequences whose columns have the order that an estimator was trained on.

    Raises:
        DataError: a column is missing, or unknown.
    """
    return sequences.in_order_of(
        getattr(estimator, "feature_names_in_", None), steps=step_columns(estimator) is not None
    )


def copy_columns(estimator: Any, model: Any) -> None:
    """Sets both attributes to those of another model."""
    set_columns(estimator, *(vars(model).get(name) for name in ("n_features_in_", "feature_names_in_")))
