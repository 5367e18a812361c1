"""Names of the columns that a model reads, and of the numbers that it predicts."""

from __future__ import annotations

from typing import Any


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
