"""Number and names of the columns that a model reads, as scikit-learn has them, and names of its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.data.columns.inputs import Arrays
from recurra.errors import DataError


def column_names(estimator: Any) -> list[str] | None:
    """Returns the names of the features of an estimator: those of the data of `fit`, else those of the training file.

    Args:
        estimator: a fitted estimator.

    Returns:
        The names in the order of the features; None if they have no names.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and len(names) != estimator.encoder_.features:  # the names of the steps of a table's rows
        return None
    return estimator.provenance_.feature_columns if names is None else names.tolist()


def output_names(estimator: Any) -> list[str]:
    """Returns the names of the outputs of a classifier or regressor.

    Args:
        estimator: a fitted `SequenceClassifier` or `SequenceRegressor`.

    Returns:
        The classes; the names of the targets; or, for several targets without names, the places of the numbers in an
        answer.
    """
    if estimator.task != "regress":
        return [str(label) for label in estimator.classes_]
    if estimator.several_:
        if (names := target_names(estimator)) is not None:
            return names
        return [f"value[{i}]" for i in range(len(estimator.target_mean_))]
    return [estimator.provenance_.target_column or "value"]


def target_names(estimator: Any) -> list[str] | None:
    """Returns the names of the targets of a regressor of several; None if the training data had no names."""
    names = estimator.provenance_.target_columns
    return names if names is not None and len(names) == len(estimator.target_mean_) else None


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
