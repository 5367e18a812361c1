"""Reads files for estimators and writes their predictions to files."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra._util.atomic import written
from recurra.errors import DataError, UsageError

from .console import say, to_json
from .options import FileOptions

if TYPE_CHECKING:
    import numpy as np

    from recurra.data.readers.tables import DataFile


@dataclass(frozen=True)
class Labelled:
    """Labelled data from a file.

    Attributes:
        arguments: of the estimator's `fit` and `evaluate`, such as `(X, y)`.
        where: says file and line of a row counted from 0, for messages; None where rows have no lines.
        names: fields of the model's `Provenance`, such as names of columns.
    """

    arguments: tuple[Any, ...]
    where: Callable[[int], str] | None
    names: dict[str, Any]


def read_columns(path: Path, columns: Sequence[str], options: FileOptions, cache: Path | None = None) -> DataFile:
    """Reads the named columns of a table and reports a summary.

    Raises:
        DataError: the file or a column cannot be read.
    """
    from recurra.data.readers.tables import read_table

    file = read_table(path, columns, options.how(), cache_dir=cache)
    say(file.summary)
    return file


def listed(names: str | None) -> tuple[str, ...]:
    """Splits names, such as those of columns, at commas."""
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def read_numbers(
    path: Path, columns: Sequence[str], texts: int, options: FileOptions, cache: Path | None = None
) -> DataFile:
    """Reads columns as `read_columns` does, converts decimal marks of columns of numbers, and reports the conversion.

    Args:
        path: the file.
        columns: names of columns; those of numbers come last.
        texts: how many columns in front hold something else.
        options: how to read the file.
        cache: folder for large tables.

    Raises:
        DataError: the file or a column cannot be read, or the decimal mark cannot be told.
    """
    from recurra.data.columns.decimals import with_decimal_points

    file = read_columns(path, columns, options, cache)
    found, notes = with_decimal_points(file, range(texts, file.table.num_columns), options.decimal)
    for note in notes:
        say(f"{path.name}: {note}")
    return found


def labels(column: Any) -> np.ndarray:
    """Converts classes to strings, so that all kinds of files agree; None for a missing class."""
    import numpy as np

    return np.array([None if v is None or v == "" else str(v) for v in column.to_pylist()], dtype=object)


@contextmanager
def located(where: Callable[[int], str] | None) -> Iterator[None]:
    """Adds file and line to a data error that knows its row."""
    try:
        yield
    except DataError as error:
        if error.row is None or where is None:
            raise
        raise DataError(f"{where(error.row)}: {error}") from None


TABLES = (".csv", ".tsv")
"""Suffixes of files that Excel opens."""


def is_from_excel(source: str | list[str], options: FileOptions) -> bool:
    """Returns whether a table has an encoding of Korean Excel: CP949, or UTF-8 with a byte order mark."""
    from recurra.data.files.access import is_file
    from recurra.data.files.encoding import find_encoding
    from recurra.data.readers.sniff import table_suffix

    if not isinstance(source, str) or not is_file(source) or table_suffix(Path(source)) not in (*TABLES, ".txt"):
        return False
    try:
        return find_encoding(Path(source), options.encoding) in ("cp949", "euc_kr", "utf-8-sig")
    except DataError:  # not a text
        return False


def write_rows(
    path: Path, names: Sequence[str], columns: Sequence[Sequence[Any]], *, byte_order_mark: bool = False
) -> None:
    """Writes predictions as .csv, .tsv, .jsonl or .parquet, complete or not at all.

    Args:
        path: file to write.
        names: of the columns.
        columns: of equal length.
        byte_order_mark: whether a .csv or .tsv file begins with the mark by which Excel recognizes UTF-8.

    Raises:
        UsageError: the suffix is none of these.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    suffix = path.suffix.lower()
    if suffix in TABLES:  # cells cannot contain lists
        columns = [[_cell(v) for v in column] for column in columns]
    table = pa.table(dict(zip(names, columns, strict=True)))
    with written(path) as partial:
        if suffix == ".parquet":
            parquet.write_table(table, partial)
        elif suffix in TABLES:
            options = csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed")
            with partial.open("wb") as file:
                file.write(codecs.BOM_UTF8 if byte_order_mark else b"")
                csv.write_csv(table, file, options)
        elif suffix in (".jsonl", ".ndjson"):
            with partial.open("w", encoding="utf-8") as file:
                for row in table.to_pylist():
                    file.write(to_json(row) + "\n")
        else:
            raise UsageError(f"{path} should end in .csv, .tsv, .jsonl or .parquet")


def _cell(value: Any) -> Any:
    """Converts a list of words to a text with spaces, and any other nested value to JSON."""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return " ".join(value)
    return to_json(value) if isinstance(value, list | dict) else value
