"""A few of many sequences, evenly spread, for tools that need no more."""

from __future__ import annotations

import dataclasses
from typing import Any

from recurra.errors import DataError
from recurra.tasks.base import Estimator
from recurra.tasks.fill.blanks import BLANK
from recurra.tasks.subject import Subject

PIECE = 256
"""Characters of a piece of a running text."""


def some_subject(model: Estimator, X: Any, y: Any, rows: int) -> Subject:
    """The subject of at most so many of the sequences of `X`.

    A running text is looked at in pieces; a text without a blank gets one at its end, where the model fills blanks. The
    series of a forecaster are taken whole.

    Raises:
        DataError: the data cannot be used; its row is that in `X`.
    """
    if model.task == "forecast":
        return model.subject(X, y)
    if isinstance(X, str) and model.task == "generate":
        X, rows = [X[begin : begin + PIECE] for begin in range(0, len(X), PIECE)], max(1, rows // 4)
    chosen = spread(len(X), rows) if hasattr(X, "__len__") and not isinstance(X, str) else []
    if chosen:
        X, y = _take(X, chosen), None if y is None else _take(y, chosen)
    if model.task == "fill" and isinstance(X, list):
        X = [text if BLANK.search(text or "") else f"{text or ''} [ ]" for text in X]
    try:
        return model.subject(X, y)
    except DataError as error:
        if error.row is None or not chosen:
            raise
        raise DataError(str(error), chosen[error.row]) from None


def spread(count: int, rows: int) -> list[int]:
    """At most so many of `count` rows.

    Example:
        >>> spread(10, 4), spread(3, 4)
        ([0, 2, 5, 7], [0, 1, 2])
    """
    return [i * count // rows for i in range(rows)] if count > rows else list(range(count))


def _take(column: Any, rows: list[int]) -> Any:
    """Some rows of a list or column of any library."""
    if hasattr(column, "rows"):  # sequences as a file gives them
        return dataclasses.replace(column, rows=_take(column.rows, rows))
    if hasattr(column, "to_pylist"):  # Arrow
        return column.take(rows).to_pylist()
    if hasattr(column, "iloc"):  # pandas
        return column.iloc[rows]
    return column[rows] if hasattr(column, "ndim") else [column[i] for i in rows]
