"""Tells what a number is in a cell of text, and makes numbers of columns."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.errors import DataError

from .table import decoded
from .wording import shortened

# also valid for RE2, which pyarrow uses; commas between thousands only where well-formed
NUMBER = r"[+-]?(?:(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
MISSING = ("", "-", "na", "n/a", "nan", "null")


def is_number(text: str) -> bool:
    """Whether a cell holds a number, thousands commas allowed."""
    return re.fullmatch(NUMBER, text.strip()) is not None


def parse_numbers(column: pa.ChunkedArray | pa.Array, *, name: str, where: Callable[[int], str]) -> np.ndarray:
    """Makes numbers of a column; what is missing (an empty cell, NA, NaN, null, -) becomes NaN.

    Args:
        column: strings, where thousands commas are allowed, or any numeric Arrow type.
        name: the name of the column, for the error message.
        where: gives the place of a row, for the error message.

    Returns:
        The numbers as float64.

    Raises:
        DataError: a cell is not a finite number.

    Example:
        >>> parse_numbers(pa.array(["1,395", " -2.5", "NA"]), name="price", where=str)
        array([1395. ,   -2.5,    nan])
    """
    column = decoded(column)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return _cast_numbers(column, name, where)
    text = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(text), pa.array([*MISSING, None], column.type))
    good = pc.or_(missing, pc.fill_null(pc.match_substring_regex(text, f"^(?:{NUMBER})$"), False))
    bad = np.flatnonzero(~np.asarray(good, dtype=bool))
    if not bad.size:
        digits = pc.replace_substring(pc.if_else(missing, "nan", text), ",", "")
        numbers = np.array(np.asarray(pc.cast(digits, pa.float64())))  # the caller's own, to write to
        bad = np.flatnonzero(np.isinf(numbers))  # beyond what float64 holds
        if not bad.size:
            return numbers
    row = int(bad[0])
    raise DataError(f"{where(row)}, column {name}: {shortened(column[row].as_py())} is not a number")


def _cast_numbers(column: pa.ChunkedArray | pa.Array, name: str, where: Callable[[int], str]) -> np.ndarray:
    try:
        numbers = pc.cast(column, pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        place = f"{where(0)}, " if len(column) else ""
        raise DataError(f"{place}column {name}: values of type {column.type} are not numbers") from None
    found = np.array(np.asarray(pc.fill_null(numbers, np.nan)))
    infinite = np.flatnonzero(np.isinf(found))
    if infinite.size:
        row = int(infinite[0])
        raise DataError(f"{where(row)}, column {name}: {found[row]} is not a finite number")
    return found
