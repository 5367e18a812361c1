"""Selects some of many sequences, evenly spaced."""

from __future__ import annotations

import dataclasses
from typing import Any


def select(X: Any, y: Any, rows: int) -> tuple[Any, Any, list[int]]:
    """See `Estimator.subsample`."""
    at = spread(len(X), rows) if hasattr(X, "__len__") and not isinstance(X, str) else []
    return (take(X, at), None if y is None else take(y, at), at) if at else (X, y, at)


def spread(count: int, rows: int) -> list[int]:
    """At most so many of `count` rows.

    Example:
        >>> spread(10, 4), spread(3, 4)
        ([0, 2, 5, 7], [0, 1, 2])
    """
    return [i * count // rows for i in range(rows)] if count > rows else list(range(count))


def take(column: Any, rows: list[int]) -> Any:
    """Returns some rows of a list or column of any library."""
    if hasattr(column, "rows"):  # sequences as a file gives them
        return dataclasses.replace(column, rows=take(column.rows, rows))
    if hasattr(column, "to_pylist"):  # Arrow
        return column.take(rows).to_pylist()
    if hasattr(column, "iloc"):  # pandas
        return column.iloc[rows]
    return column[rows] if hasattr(column, "ndim") else [column[i] for i in rows]
