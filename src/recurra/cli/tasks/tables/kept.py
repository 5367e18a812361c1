"""Columns of the input that predictions keep: `recurra predict --keep`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

from recurra.errors import DataError, UsageError

from .columns import Columns, tags_steps

Row = dict[str, Any]
"""A prediction, or the kept cells of a row by the names of their columns."""


def with_columns(
    rows: Iterator[Row],
    estimator: Any,
    commands: ModuleType,
    source: str | list[str],
    options: Any,
    keep: Sequence[str],
) -> Iterator[Row]:
    """Yields predictions with columns of the input table behind the number of the row.

    A column with the name of a value of the predictions is written as `input NAME`.

    Args:
        rows: predictions with the key `row`.
        estimator: the model.
        commands: module of its task.
        source: the table.
        options: how to read it.
        keep: names of the columns.

    Raises:
        UsageError: the source is no table with one answer for each row or id.
        DataError: a column cannot be read, or differs between the rows of an id.
    """
    if not isinstance(source, str) or source == "-":
        raise UsageError("--keep copies columns of a table; texts and standard input have none")
    path, columns = Path(source), _columns(estimator, options)
    long = columns is not None and columns.id is not None and columns.features
    if long and columns is not None and estimator.task != "tag":
        return _by_id(rows, _first_of_ids(path, str(columns.id), keep, options))
    if not long and not _has_row_for_each_answer(commands, estimator, path, columns, options):
        raise UsageError(f"{path.name} has no row for each answer; --keep is for tables that have one")
    ignored = columns.read if columns is not None and (long or columns.of_items) else ()
    return _by_row(rows, _cells(path, keep, ignored, options), path)


def _columns(estimator: Any, options: Any) -> Columns | None:
    tables = estimator.task in ("classify", "regress") or tags_steps(estimator)
    return Columns.of(options, estimator.provenance_) if tables else None


def _has_row_for_each_answer(
    commands: ModuleType, estimator: Any, path: Path, columns: Columns | None, options: Any
) -> bool:
    from recurra.data.files.places import find_files
    from recurra.data.readers.sniff import TABLE_SUFFIXES, table_suffix

    if table_suffix(Path(find_files(path)[0].name)) not in (*TABLE_SUFFIXES, ".txt"):
        return False
    if columns is not None:
        return columns.one_row_each(path) or columns.of_items
    return hasattr(commands, "table_columns") and commands.table_columns(estimator, path, options) is not None


def _cells(path: Path, keep: Sequence[str], features: Sequence[str], options: Any) -> Iterator[Row]:
    """Yields the kept cells of each row, without the rows in which all `features` are empty."""
    from recurra.data.files.table import decoded, is_blank
    from recurra.data.readers.tables import stream_table

    for part in stream_table(path, [*features, *keep], options.how()):
        table = part.table
        names, blank = table.column_names[len(features) :], [False] * table.num_rows
        if features:
            empty = [is_blank(decoded(column)).to_pylist() for column in table.columns[: len(features)]]
            blank = [all(cells) for cells in zip(*empty, strict=True)]
        values = [decoded(column).to_pylist() for column in table.columns[len(features) :]]
        for cells, left_out in zip(zip(*values, strict=True), blank, strict=True):
            if not left_out:
                yield dict(zip(names, cells, strict=True))


def _first_of_ids(path: Path, id: str, keep: Sequence[str], options: Any) -> dict[str, Row]:
    """Returns the kept cells of each id.

    Raises:
        DataError: the rows of an id have different cells.
    """
    from recurra.data.files.table import decoded
    from recurra.data.readers.tables import read_filled

    table = read_filled(path, [id, *keep], options.how())[0].table
    names, found = table.column_names[1:], dict[str, Row]()
    columns = [decoded(column).to_pylist() for column in table.columns]
    for key, *cells in zip(*columns, strict=True):
        row = dict(zip(names, cells, strict=True))
        known = found.setdefault(str(key).strip(), row)
        other = next((name for name in names if row[name] != known[name]), None)
        if other is not None:
            raise DataError(
                f"{path.name}: {other} of {key} is {known[other]} and {row[other]}; --keep takes columns that do not "
                "change within an id"
            )
    return found


def _by_id(rows: Iterator[Row], cells: dict[str, Row]) -> Iterator[Row]:
    return (_joined(row, cells[str(row["id"])]) for row in rows)


def _by_row(rows: Iterator[Row], cells: Iterator[Row], path: Path) -> Iterator[Row]:
    """Joins by the numbers of the rows; several predictions may have the same number."""
    at, kept = 0, Row()
    for row in rows:
        while at < row["row"]:
            at, kept = at + 1, next(cells, Row())
        if not kept:
            raise DataError(f"{path.name} has fewer rows than there are answers; --keep cannot join them")
        yield _joined(row, kept)
    for _ in cells:  # a reader that is not at its end may read ahead while the process ends, which aborts it
        pass


def _joined(row: Row, kept: Row) -> Row:
    named = {f"input {name}" if name in row else name: value for name, value in kept.items()}
    return dict(chain({"row": row["row"]}.items(), named.items(), row.items()))
