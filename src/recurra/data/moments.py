"""Makes numbers that sort like the times in a column."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.errors import DataError

from .numbers import MISSING, NUMBER
from .table import decoded
from .wording import shortened

_SPELLINGS = (
    (r"^([0-9]{4})[./]([0-9]{1,2})[./]([0-9]{1,2})\.?", r"\1-\2-\3"),  # 2024.5.1. and 2024/5/1
    (r"^([0-9]{4})-([0-9])-", r"\1-0\2-"),
    (r"^([0-9]{4}-[0-9]{2})-([0-9])([T ]|$)", r"\1-0\2\3"),
    (r"([T ]) *([0-9]):", r"\10\2:"),  # RE2 reads \1, then 0
)
_TYPES = (pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.timestamp("us"))


def sort_keys(column: pa.ChunkedArray | pa.Array, *, name: str, where: Callable[[int], str]) -> np.ndarray:
    """Numbers whose order is that of the times, `(rows,)`; equal times give equal numbers.

    Args:
        column: numbers, dates (year first, as in ISO 8601), or texts of either.
        name: of the column, for messages.
        where: gives the place of a row, for messages.

    Raises:
        DataError: a time is missing, or is neither a number nor a date.

    Example:
        >>> sort_keys(pa.array(["2024/5/1", "2024-04-30 12:00"]), name="day", where=str).argsort().tolist()
        [1, 0]
    """
    column = decoded(column)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.utf8_trim_whitespace(column)
        _refuse_missing(pc.is_in(pc.utf8_lower(column), pa.array([*MISSING, None], kind)), name, where)
        return _from_text(column, name, where)
    _refuse_missing(pc.is_null(column, nan_is_null=pa.types.is_floating(kind)), name, where)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        return np.asarray(pc.cast(column, whole)).astype(np.int64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(column)
    place = f"{where(0)}, " if len(column) else ""
    raise DataError(f"{place}column {name}: values of type {kind} are no times")


def _refuse_missing(missing: pa.ChunkedArray, name: str, where: Callable[[int], str]) -> None:
    rows = np.flatnonzero(np.asarray(missing, dtype=bool))
    if rows.size:
        raise DataError(f"{where(int(rows[0]))}, column {name}: the time is missing")


def _from_text(text: pa.ChunkedArray, name: str, where: Callable[[int], str]) -> np.ndarray:
    number = np.asarray(pc.match_substring_regex(text, f"^(?:{NUMBER})$"), dtype=bool)
    if number.all():
        digits = pc.replace_substring(text, ",", "")
        try:
            return np.asarray(pc.cast(digits, pa.int64()))  # whole nanoseconds are too fine for float64
        except pa.ArrowInvalid:
            return np.asarray(pc.cast(digits, pa.float64()))
    spelt = text
    for pattern, instead in _SPELLINGS:
        spelt = pc.replace_substring_regex(spelt, pattern, instead)
    for kind in _TYPES:
        try:
            return np.asarray(pc.cast(pc.cast(spelt, kind), pa.int64()))
        except pa.ArrowInvalid:
            continue
    row = int(number.argmin()) if number[0] else _odd_one(spelt)
    raise DataError(
        f"{where(row)}, column {name}: {shortened(text[row].as_py())} is no time like the others; "
        "write numbers, or dates as in 2024-05-31 or 2024-05-31 12:00:00"
    )


def _odd_one(spelt: pa.ChunkedArray) -> int:
    """The first row that is not spelt like the first, or the first where that is no date itself."""
    rows = spelt.to_pylist()
    for kind in _TYPES:
        for row, value in enumerate(rows):
            try:
                pc.cast(pa.scalar(value), kind)
            except pa.ArrowInvalid:
                if row:
                    return row
                break
    return 0
