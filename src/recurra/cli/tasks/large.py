"""Reads texts with one target each that may be larger than memory, for training and evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled, column_chunks, is_streamed, labels, located
from recurra.cli.support.options import FileOptions, PredictOptions
from recurra.errors import UsageError

from .sources import ROWS, Columns, sequences_of

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
    if columns.input is None or len(columns.targets) != 1 or columns.separator or columns.features:
        return None
    from recurra.data.readers.sniff import table_suffix

    names = [columns.input, *columns.targets]
    if table_suffix(path) in (".ts", ".npz") or not _is_large(path, names):
        return None
    from recurra.data.pieces import LargeTable, PieceColumn
    from recurra.tasks.many_to_one.large import FOLDER

    table = LargeTable(path, names, cache / FOLDER, options.how(), say)
    if not _is_text(table) or _has_lists(table):
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


def _has_lists(table: LargeTable) -> bool:
    """Returns whether the second column holds lists, such as several labels."""
    import pyarrow as pa

    from recurra.data.pieces import PieceColumn

    return pa.types.is_nested(PieceColumn(table, 1).read(0).table.column(0).type)


def _labels(file: DataFile) -> np.ndarray:
    return labels(file.table.column(0))


def _numbers(table: LargeTable, decimal: str | None) -> Callable[[DataFile], np.ndarray]:
    """Returns a function that converts a column to numbers."""
    mark = decimal_mark(table, decimal)
    return lambda file: _numbers_of(file, mark)[0]


def evaluate_parts(estimator: Any, path: Path, columns: Columns, options: PredictOptions) -> dict[str, Any] | None:
    """Evaluates a model of texts on a table that is read in parts; None for small tables and other inputs.

    Raises:
        DataError: the table cannot be read; the message names file and line.
    """
    if len(columns.targets) != 1 or estimator.encoder_.kind != "text" or not columns.one_row_each(path):
        return None
    if getattr(estimator, "label_sets_", None) is not None:
        return None
    if not is_streamed(path, options):
        return None
    running = estimator.running_evaluation(options.coverage)
    add_parts(running, estimator, path, columns, options)
    return running.result()


def decimal_mark(table: LargeTable, decimal: str | None) -> str:
    """Returns the decimal mark of the numbers in the second column, which the first piece decides.

    Args:
        table: the table.
        decimal: the mark that the user gave.
    """
    from recurra.data.pieces import PieceColumn

    return _numbers_of(PieceColumn(table, 1).read(0), decimal)[1]


def add_parts(running: Any, estimator: Any, path: Path, columns: Columns, options: FileOptions) -> None:
    """Adds the rows of a table, or of a part of it, to an evaluation.

    Args:
        running: a `recurra.tasks.many_to_one.running.RunningEvaluation`.
        estimator: the model.
        path: the table.
        columns: names of its columns.
        options: how to read it.
    """
    mark = options.decimal
    for part in column_chunks(path, columns.of_rows, options, ROWS):
        with located(part.where):
            if estimator.task == "regress":
                values, mark = _numbers_of(part, mark)
            else:
                values = labels(part.table.column(part.table.num_columns - 1))
            text = estimator.encoder_.kind == "text"
            groups = labels(part.table.column(1)) if columns.by else None
            running.add(part.table.column(0) if text else sequences_of(part, path, str(columns.input)), values, groups)


def _numbers_of(part: DataFile, decimal: str | None) -> tuple[np.ndarray, str]:
    """Returns the numbers in the last column of a part of a table, and their decimal mark, detected if it is None."""
    from recurra.data.columns.decimals import with_decimal_points
    from recurra.data.columns.numbers import parse_numbers

    at = part.table.num_columns - 1
    found, notes = with_decimal_points(part, [at], decimal)
    for note in notes if decimal is None else ():
        say(f"{part.path.name}: {note}")
    mark = decimal or ("." if found.table is part.table else ",")
    return parse_numbers(found.table.column(at), name=part.table.column_names[at], where=part.where), mark
