"""Reads training data that may be larger than memory: texts with one target each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled, labels
from recurra.cli.support.options import FileOptions
from recurra.errors import UsageError

from .sources import Columns

if TYPE_CHECKING:
    import numpy as np

    from recurra.data.pieces import LargeTable
    from recurra.data.readers.tables import DataFile

LARGE_ROWS = 2_000_000
"""Data with more rows are read in pieces, if the number of rows is known before they are read (Parquet)."""
LARGE_MB = 256
"""Data of more megabytes are read in pieces. The environment variable `RECURRA_LARGE_MB` overrides it."""


def large_source(task: str, path: Path, columns: Columns, options: FileOptions, cache: Path) -> Labelled | None:
    """Returns columns of a data set that is larger than memory may be; None for smaller data and other inputs.

    Args:
        task: `"classify"` or `"regress"`.
        path: the data set.
        columns: names of the columns.
        options: how to read tables.
        cache: folder of the run.

    Raises:
        DataError: a file cannot be read.
        UsageError: `RECURRA_LARGE_MB` is not a number.
    """
    if columns.input is None or columns.target is None or columns.features:
        return None
    from recurra.data.readers.sniff import table_suffix

    names = [columns.input, columns.target]
    if table_suffix(path) in (".ts", ".npz") or not _is_large(path, names):
        return None
    from recurra.data.pieces import LargeTable, PieceColumn
    from recurra.tasks.many_to_one.large import FOLDER

    table = LargeTable(path, names, cache / FOLDER, options.how(), say)
    if not _is_text(table):
        return None
    say(table.summary)
    convert = _numbers(table, options.decimal) if task == "regress" else _labels
    return Labelled((PieceColumn(table, 0), PieceColumn(table, 1, convert)), None, columns.remembered)


def _is_large(path: Path, names: list[str]) -> bool:
    from recurra.data.pieces.table import table_size

    given = os.environ.get("RECURRA_LARGE_MB", str(LARGE_MB))
    if not given.isdecimal():
        raise UsageError(f"RECURRA_LARGE_MB must be a whole number, got {given!r:.40}")
    rows, size = table_size(path, names)
    return rows > LARGE_ROWS or size > int(given) << 20


def _is_text(table: LargeTable) -> bool:
    """Returns whether the first column holds texts that are not names of recordings."""
    from recurra.data.files.audio import first_known, is_audio_name
    from recurra.data.files.table import is_text
    from recurra.data.pieces import PieceColumn

    first = PieceColumn(table, 0).read(0).table.column(0)
    return is_text(first) and not is_audio_name(first_known(first))


def _labels(file: DataFile) -> np.ndarray:
    return labels(file.table.column(0))


def _numbers(table: LargeTable, decimal: str | None) -> Callable[[DataFile], np.ndarray]:
    """Returns a function that converts a column to numbers. The first piece decides which decimal mark they have."""
    from recurra.data.columns.decimals import with_decimal_points
    from recurra.data.columns.numbers import parse_numbers
    from recurra.data.pieces import PieceColumn

    first = PieceColumn(table, 1).read(0)
    found, notes = with_decimal_points(first, [0], decimal)
    for note in notes:
        say(f"{first.path.name}: {note}")
    mark = decimal or ("." if found.table is first.table else ",")

    def convert(file: DataFile) -> np.ndarray:
        column = with_decimal_points(file, [0], mark)[0].table.column(0)
        return parse_numbers(column, name=file.table.column_names[0], where=file.where)

    return convert
