"""Checks of JSON values that are numbers, and descriptions of values for messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from recurra._util.messages import counted
from recurra.errors import DataError

NUMBERS = {int, float, type(None)}


class NumberError(DataError):
    """A number in a list that cannot be used.

    Args:
        message: what is wrong and what to do.
        at: position of the value in the list.
    """

    def __init__(self, message: str, *at: int) -> None:
        super().__init__(message)
        self.at = at


def described(value: Any) -> str:
    """Returns the type of a JSON value in words, and short values themselves.

    Example:
        >>> described(None), described(True), described([1]), described("a")
        ('null', 'true', 'a list', 'a text')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return "a number"
    names = {str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def number_rows(rows: Sequence[Any], features: int) -> np.ndarray:
    """Converts rows of numbers to an array `(time, features)`, with NaN for null.

    Args:
        rows: lists of `features` numbers; for one feature also numbers.
        features: numbers in a row.

    Raises:
        NumberError: a value is not a row of this length, or not a finite number; `at` has its position.
    """
    kinds = set(map(type, rows))
    if features == 1 and list not in kinds:
        return _array(rows)[:, None]
    if not kinds <= {list}:
        at = next(i for i, row in enumerate(rows) if type(row) is not list)
        raise NumberError(f"a step is a list of {counted(features, 'number')}, not {described(rows[at])}", at)
    if not set(map(len, rows)) <= {features}:
        at = next(i for i, row in enumerate(rows) if len(row) != features)
        raise NumberError(
            f"the step has {counted(len(rows[at]), 'number')}; the model was trained on {counted(features, 'feature')}",
            at,
        )
    flat = list(chain.from_iterable(rows))
    try:
        return _array(flat).reshape(-1, features)
    except NumberError as error:
        raise NumberError(str(error), *divmod(error.at[0], features)) from None


def _array(values: Sequence[Any]) -> np.ndarray:
    """Converts numbers to an array of float64, with NaN for null."""
    if not set(map(type, values)) <= NUMBERS:
        at = next(i for i, value in enumerate(values) if type(value) not in NUMBERS)
        raise NumberError(f"a value is a number, or null if it is missing, not {described(values[at])}", at)
    try:
        found = np.array(values, dtype=np.float64)
    except OverflowError:
        found = np.array([math.inf if value is not None and not _fits(value) else value for value in values], float)
    if not np.isfinite(found).all():
        for at in np.flatnonzero(~np.isfinite(found)).tolist():
            if values[at] is not None:
                what = (
                    "NaN; send null for a missing value" if values[at] != values[at] else "beyond the range of float64"
                )
                raise NumberError(f"the number is {what}", at)
    return found


def _fits(value: float) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True
