"""Detects whether the numbers of a text table have a decimal point or a decimal comma."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from recurra._util.messages import shortened
from recurra.data.files.table import DataFile, decoded, is_text
from recurra.errors import DataError, UsageError

from .numbers import COMMA_NUMBER, NUMBER, without_thousands


class _Cell(NamedTuple):
    """A cell, for messages."""

    row: int
    column: int
    text: str


def with_decimal_points(
    file: DataFile, columns: Sequence[int], decimal: str | None = None
) -> tuple[DataFile, list[str]]:
    """Rewrites decimal commas in columns of numbers as decimal points.

    The decision is the same for all columns: a cell such as `3,5` or `3.5` decides how `1,395` is read.

    Args:
        file: the table. Only columns of texts change.
        columns: positions of the columns of numbers.
        decimal: `","` or `"."`; detected if None.

    Returns:
        The file, and notes for the user about the decimal mark.

    Raises:
        DataError: some cells have a decimal comma and others a decimal point, or the mark is ambiguous.
        UsageError: `decimal` is neither.
    """
    if decimal not in (None, ",", "."):
        raise UsageError(f"--decimal is a point or a comma, not {decimal!r:.40}")
    texts = {i: _trimmed(file.table.column(i)) for i in columns if is_text(decoded(file.table.column(i)))}
    comma, point = (_first(texts, _only(*patterns)) for patterns in ((COMMA_NUMBER, NUMBER), (NUMBER, COMMA_NUMBER)))
    notes = []
    if decimal is None:
        if comma and point:
            raise DataError(
                f"{_place(file, comma)} has a decimal comma, but {_place(file, point)} has a decimal point\n"
                "Write all numbers in the same way, and give --decimal , or --decimal . if the mark is still ambiguous."
            )
        decimal = "," if comma else "." if point else _guess(file, texts, notes)
        if comma:
            notes.append(f"numbers have a decimal comma, such as {shortened(comma.text)}")
    elif decimal == "," and point:
        raise DataError(f"{_place(file, point)} is not a number with a decimal comma, which --decimal , requires")
    if decimal == ".":
        return file, notes
    table = file.table
    for i, text in texts.items():
        matches = pc.match_substring_regex(text, f"^(?:{COMMA_NUMBER})$")
        digits = without_thousands(text, ",")
        table = table.set_column(i, table.schema.field(i).name, pc.if_else(pc.fill_null(matches, False), digits, text))
    return dataclasses.replace(file, table=table), notes


def _guess(file: DataFile, texts: dict[int, Any], notes: list[str]) -> str:
    """Chooses the decimal mark if every separator is followed by three digits, which is ambiguous."""
    comma, point = (_first(texts, (rf"^[+-]?[1-9][0-9]{{0,2}}({mark}[0-9]{{3}})+$", None)) for mark in (",", r"\."))
    found = comma or point
    if found is None:
        return "."
    # files with decimal commas usually separate columns by semicolons
    if comma and file.delimiter == ";":
        text = comma.text
        raise DataError(
            f"{_place(file, comma)} is {text.replace(',', '.')} with a decimal comma or {text.replace(',', '')} with a "
            "comma between thousands, and the other cells do not decide\nGive --decimal , or --decimal . to choose."
        )
    if comma or file.delimiter == ";":
        mark = "comma between thousands" if comma else "decimal point"
        notes.append(f"{shortened(found.text)} is read with a {mark}; --decimal , reads these numbers the other way")
    return "."


def _trimmed(column: Any) -> Any:
    return pc.utf8_trim_whitespace(decoded(column))


def _only(pattern: str, other: str) -> tuple[str, str]:
    return f"^(?:{pattern})$", f"^(?:{other})$"


def _first(texts: dict[int, Any], patterns: tuple[str, str | None]) -> _Cell | None:
    """Returns the first cell that matches one pattern and not the other."""
    wanted, unwanted = patterns
    for i, text in texts.items():
        found = pc.match_substring_regex(text, wanted)
        if unwanted is not None:
            found = pc.and_not(found, pc.match_substring_regex(text, unwanted))
        rows = np.flatnonzero(np.asarray(pc.fill_null(found, False), dtype=bool))
        if rows.size:
            return _Cell(int(rows[0]), i, text[int(rows[0])].as_py())
    return None


def _place(file: DataFile, cell: _Cell) -> str:
    return f"{file.where(cell.row)}, column {file.table.column_names[cell.column]}: {shortened(cell.text)}"
