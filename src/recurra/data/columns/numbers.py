"""Parses numbers in cells of text and in columns."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import counted, listed, shortened
from recurra.data.files.table import decoded, is_text
from recurra.errors import DataError

# the patterns are also valid for RE2, which pyarrow uses
_BLANK = " \u00a0\u2009\u202f"
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"


def _grouped(separators: str) -> str:
    """Returns a pattern for an integer, with the same separator between all thousands or with none."""
    groups = "|".join(f"(?:{separator}[0-9]{{3}})+" for separator in (*separators.split("|"), f"[{_BLANK}]", "['’]"))
    return f"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{groups}))"


NUMBER = rf"[+-]?(?:{_grouped(',')}(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}"
"""A number with a decimal point, and commas, spaces or apostrophes between thousands."""

COMMA_NUMBER = rf"[+-]?(?:{_grouped(chr(92) + '.')}(?:,[0-9]*)?|,[0-9]+){_EXPONENT}"
"""A number with a decimal comma, and points, spaces or apostrophes between thousands."""

_BETWEEN_THOUSANDS = f"[{_BLANK}'’]"

MISSING = ("", "-", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "nil")
"""Marks of a missing value in tables, `.ts` files and texts, in lower case."""


def is_number(text: str) -> bool:
    """Returns whether a cell holds a number. It may have a decimal point or comma, and separators between thousands."""
    text = text.strip()
    return re.fullmatch(NUMBER, text) is not None or re.fullmatch(COMMA_NUMBER, text) is not None


def number_of(text: str) -> float:
    """Returns the number in a text; NaN if it is missing.

    Raises:
        ValueError: the text is not a finite number.

    Example:
        >>> number_of("1,395.5"), number_of("?")
        (1395.5, nan)
    """
    text = text.strip()
    if text.lower() in MISSING:
        return float("nan")
    if not re.fullmatch(NUMBER, text):
        raise ValueError(text)
    number = float(re.sub(f"{_BETWEEN_THOUSANDS}|,", "", text))
    if number in (float("inf"), -float("inf")):
        raise ValueError(text)
    return number


def without_thousands(text: Any, decimal: str = ".") -> Any:
    """Removes the separators between thousands from Arrow texts of numbers, and writes a point as decimal mark.

    Args:
        text: texts that match `NUMBER` or, with a decimal comma, `COMMA_NUMBER`.
        decimal: the decimal mark in the texts, `"."` or `","`.
    """
    if decimal == ".":
        return pc.replace_substring_regex(text, f"{_BETWEEN_THOUSANDS}|,", "")
    return pc.replace_substring(pc.replace_substring_regex(text, rf"{_BETWEEN_THOUSANDS}|\.", ""), ",", ".")


def parse_numbers(column: pa.ChunkedArray | pa.Array, *, name: str, where: Callable[[int], str]) -> np.ndarray:
    """Converts a column to numbers; an empty cell, or one of `MISSING`, becomes NaN.

    Args:
        column: strings, which may have separators between thousands, or any numeric Arrow type.
        name: name of the column, for the error message.
        where: returns the place of a row, for the error message.

    Returns:
        The numbers as float64.

    Raises:
        DataError: a cell is not a finite number.

    Example:
        >>> parse_numbers(pa.array(["1,395", " -2.5", "NA"]), name="price", where=str)
        array([1395. ,   -2.5,    nan])
    """
    column = decoded(column)
    if not is_text(column):
        return _cast_numbers(column, name, where)
    text = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(text), pa.array([*MISSING, None], column.type))
    good = pc.or_(missing, pc.fill_null(pc.match_substring_regex(text, f"^(?:{NUMBER})$"), False))
    bad = np.flatnonzero(~np.asarray(good, dtype=bool))
    if not bad.size:
        digits = without_thousands(pc.if_else(missing, "nan", text))
        numbers = np.array(np.asarray(pc.cast(digits, pa.float64())))  # a copy that the caller can change
        bad = np.flatnonzero(np.isinf(numbers))  # too large for float64
        if not bad.size:
            return numbers
    row = int(bad[0])
    there = len(text) - int(pc.sum(missing).as_py() or 0)
    words = [shortened(column[int(i)].as_py()) for i in bad[:1000]]
    advice = _advice(words, bad.size, there)
    raise DataError(f"{where(row)}, column {name}: {words[0]} is not a number\n{advice}")


def _advice(words: list[str], count: int, there: int) -> str:
    """Returns advice about cells that are not numbers.

    Args:
        words: the first of the cells.
        count: number of cells that are not numbers.
        there: number of cells that are not missing.
    """
    first = words[0].strip('"')
    if re.fullmatch(NUMBER, first):
        return "It is too large. Write the column in another unit."
    if re.fullmatch(COMMA_NUMBER, first):
        return "If the comma is a decimal comma, give --decimal , (or write a decimal point)."
    if re.match(r"\W*\d", first):
        return (
            f"{_are(count, there)}. Write digits, a sign and a decimal point only: no unit, currency or percent sign, "
            "and no invisible characters."
        )
    if count > there / 2:
        found = listed(list(dict.fromkeys(words)), 3)
        return f"The column has words ({found}): leave it out, or write a column of 0 and 1 for each word."
    return f"{_are(count, there)}. Correct these cells, or leave them empty if a value is missing."


def _are(count: int, there: int) -> str:
    return f"{counted(count, 'cell')} of {there:,} {'is not a number' if count == 1 else 'are not numbers'}"


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
