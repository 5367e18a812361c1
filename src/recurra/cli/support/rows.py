"""Writes rows of predictions to a file while they arrive."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra._util.atomic import written
from recurra.errors import DataError, RecurraError, UsageError

from .console import on_terminal, progress_bar, to_json
from .files import TABLES

ROWS = 16_384
"""Rows that are held in memory and written together."""


LISTS = ("set", "labels")
"""Columns whose lists are written as JSON in cells, because their texts may have spaces."""


def write_rows(
    path: Path,
    rows: Iterable[dict[str, Any]],
    *,
    byte_order_mark: bool = False,
    error: type[RecurraError] = DataError,
) -> int:
    """Writes rows as .csv, .tsv, .jsonl or .parquet, complete or not at all. Some thousand of them are in memory.

    Args:
        path: file to write.
        rows: dictionaries with the same keys, which are the names of the columns.
        byte_order_mark: whether a .csv or .tsv file begins with the mark by which Excel recognizes UTF-8.
        error: class of the error if the file cannot be written.

    Returns:
        Number of rows.

    Raises:
        UsageError: the suffix is none of these.
    """
    import pyarrow as pa

    if path.suffix.lower() not in (*TABLES, ".jsonl", ".ndjson", ".parquet"):
        raise UsageError(f"{path} should end in .csv, .tsv, .jsonl or .parquet")
    rows, count = iter(rows), 0
    some = list(itertools.islice(rows, ROWS))  # before the file exists: most errors occur here
    names = list(some[0]) if some else ["row"]
    schema = _table(path, names, some).schema
    if len(some) == ROWS:  # a column that is empty so far may have values later
        schema = pa.schema(
            [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema]
        )
    with written(path, error) as partial, _writer(path, partial, schema, byte_order_mark) as write:
        write(_table(path, names, some, schema))
        while some:
            count += len(some)
            some = list(itertools.islice(rows, ROWS))
            if some:
                write(_table(path, names, some, schema))
    return count


def flat(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields predictions with a column for each probability, and for each of several targets, for tables."""
    for row in rows:
        found: dict[str, Any] = {}
        for key, value in row.items():
            name = "probability" if key == "probabilities" else key
            found |= {f"{name} {part}": v for part, v in value.items()} if isinstance(value, dict) else {key: value}
        last = {name: found.pop(name) for name in list(found) if name.startswith("probability ")}
        yield found | last


def counted_on_terminal(rows: Iterable[dict[str, Any]], shown: bool = True) -> Iterator[dict[str, Any]]:
    """Yields rows, and shows their number in a line on the terminal.

    Args:
        rows: the rows.
        shown: False for no line.
    """
    if not shown or not on_terminal():
        yield from rows
        return
    with progress_bar() as update:
        for number, row in enumerate(rows, 1):
            if number % 1000 == 0:
                update(f"{number:,} rows", number, None)
            yield row


def _table(path: Path, names: Sequence[str], rows: Sequence[dict[str, Any]], schema: Any = None) -> Any:
    """Returns rows as an Arrow table.

    Raises:
        DataError: a value does not have the type of the values before it.
    """
    import pyarrow as pa

    columns = {name: [row[name] for row in rows] for name in names}
    if path.suffix.lower() in TABLES:  # cells cannot contain lists
        cells = {name: to_json if name in LISTS else _cell for name in columns}
        columns = {name: [cells[name](value) for value in values] for name, values in columns.items()}
    try:
        return pa.table(columns, schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"the predictions do not fit into one table: {error}") from None


@contextmanager
def _writer(path: Path, partial: Path, schema: Any, byte_order_mark: bool) -> Iterator[Any]:
    """Yields a function that writes a table to a file."""
    from pyarrow import csv, parquet

    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with parquet.ParquetWriter(partial, schema) as writer:
            yield writer.write_table
    elif suffix in TABLES:
        options = csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed")
        with partial.open("wb") as file:
            file.write(codecs.BOM_UTF8 if byte_order_mark else b"")
            with csv.CSVWriter(file, schema, write_options=options) as writer:
                yield writer.write_table
    else:
        with partial.open("w", encoding="utf-8") as text:
            yield lambda table: text.writelines(to_json(row) + "\n" for row in table.to_pylist())


def _cell(value: Any) -> Any:
    """Converts a list of words to a text with spaces, and any other nested value to JSON."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return " ".join(value)
    return to_json(value) if isinstance(value, list | dict) else value
