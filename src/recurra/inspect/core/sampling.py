"""A few of many sequences, evenly spread, for tools that need no more."""

from __future__ import annotations

from typing import Any

from recurra.errors import DataError
from recurra.tasks.base import Estimator
from recurra.tasks.subject import Subject


def some_subject(model: Estimator, X: Any, y: Any, rows: int) -> Subject:
    """The subject of at most so many of the sequences of `X`.

    The estimator's `subsample` selects them.

    Raises:
        DataError: the data cannot be used; its row is that in `X`.
    """
    X, y, at = model.subsample(X, y, rows)
    try:
        return model.subject(X, y)
    except DataError as error:
        if error.row is None or not at:
            raise
        raise DataError(str(error), at[error.row]) from None
