"""Reads files for estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import DataError

from .console import say
from .options import FileOptions, PartOptions

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
        groups: the values of the column of groups, or None.
    """

    arguments: tuple[Any, ...]
    where: Callable[[int], str] | None
    names: dict[str, Any]
    groups: Sequence[Any] | np.ndarray | None = None


def read_columns(path: Path, columns: Sequence[str], options: FileOptions, cache: Path | None = None) -> DataFile:
    """Reads the named columns of a table and reports a summary.

    Raises:
        DataError: the file or a column cannot be read.
    """
    from recurra.data.readers.tables import read_table

    file = read_table(path, columns, options.how(), cache_dir=cache)
    say(file.summary)
    return file


STREAM_BYTES = 64 << 20
"""Size of the files above which predictions read them in parts."""


def column_chunks(path: Path, columns: Sequence[str], options: FileOptions, rows: int) -> Iterator[DataFile]:
    """Reads the named columns as `read_columns` does, and yields at most `rows` rows at a time.

    Data of more than `STREAM_BYTES` are read in parts, so that memory does not grow with their size. Of `PartOptions`,
    only the rows of the part are read.
    """
    from recurra.data.readers.tables import stream_table

    if isinstance(options, PartOptions) and options.reader is not None:
        for part in options.reader(columns):
            yield from part.slices(rows)
        return
    if not is_streamed(path, options):
        yield from read_columns(path, columns, options).slices(rows)
        return
    for part in stream_table(path, columns, options.how(), note=say):
        yield from part.slices(rows)


def is_streamed(path: Path, options: FileOptions) -> bool:
    """Returns whether a table is read in parts."""
    from recurra.data.readers.tables import data_size

    return (isinstance(options, PartOptions) and options.reader is not None) or data_size(path) > STREAM_BYTES


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
    """Converts classes to strings, so that all kinds of files agree; None for a missing class.

    Lists of classes become lists of strings.
    """
    import numpy as np

    found = np.empty(len(column), dtype=object)
    for i, value in enumerate(column.to_pylist()):
        found[i] = [str(v) for v in value] if isinstance(value, list) else None if value in (None, "") else str(value)
    return found


MARKS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
"""Cells of a column that says whether a sequence has a label."""


def several_labels(found: Any, names: Sequence[str], separator: str | None, where: Callable[[int], str]) -> np.ndarray:
    """Returns lists of labels, or the classes unchanged if each sequence has one.

    Args:
        found: classes `(batch,)` as `labels` gives them; of several columns `(batch, columns)`, with cells of 0 and 1.
        names: of the columns.
        separator: text between the labels of a cell; None if cells hold one class or a list. An empty cell then has no
            label.
        where: says file and line of a row.

    Raises:
        DataError: a cell of several columns is not 0 or 1.
    """
    import numpy as np

    if found.ndim == 1 and separator is None:
        return found
    rows = np.empty(len(found), dtype=object)
    if found.ndim == 1:
        for i, cell in enumerate(found):
            parts = cell if isinstance(cell, list) else (cell or "").split(separator)
            rows[i] = [part.strip() for part in parts if part.strip()]
        empty = sum(not row for row in rows)
        if empty:
            say(f"{empty:,} of {len(rows):,} sequences have no label")
        return rows
    for i, cells in enumerate(found):
        marks = [None if cell is None else MARKS.get(cell.strip().lower(), cell) for cell in cells]
        for name, mark in zip(names, marks, strict=True):
            if isinstance(mark, str):
                raise DataError(
                    f"{where(i)}, column {name}: {mark!r:.40} is not 0 or 1\n"
                    "Several columns of classify say with 0 and 1 which labels a sequence has."
                )
        rows[i] = None if None in marks else [name for name, mark in zip(names, marks, strict=True) if mark]
    return rows


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
