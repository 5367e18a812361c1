"""Selects a sample of the sequences, evenly spaced, for measures that do not need all."""

from __future__ import annotations

from typing import Any

from recurra.errors import DataError
from recurra.tasks.base import Estimator
from recurra.tasks.subject import Subject


def some_subject(model: Estimator, X: Any, y: Any, rows: int) -> Subject:
    """Returns the subject of at most `rows` sequences of `X`, which the `subsample` of the estimator selects.

    Raises:
        DataError: the data cannot be used. The error has the number of the row in `X`.
    """
    X, y, at = model.subsample(X, y, rows)
    try:
        return model.subject(X, y)
    except DataError as error:
        if error.row is None or not at:
            raise
        raise DataError(str(error), at[error.row]) from None
