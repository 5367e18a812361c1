"""Code shared by the readers of all formats: options, the choice of columns, and the resulting table."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.atomic import unwritable
from recurra._util.messages import counted, hint, listed, plain_name
from recurra.errors import DataError, ModelFolderError

SPILL_BYTES = 64 << 20  # a larger table is written to the disk, if a folder is given
BATCH_ROWS = 8192

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading a file. None means that the value is detected.

    Args:
        encoding: a Python codec, such as `"cp949"`.
        delimiter: the character between two columns.
        header: True if the first row holds the names of the columns.
        skip_bad_rows: True to leave out rows that cannot be read; False to raise an error at the first one.
        decimal: `","` or `"."`, for columns of numbers.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    skip_bad_rows: bool = False
    decimal: str | None = None


DETECT = ReadOptions()
"""Options that detect everything."""


@dataclass(frozen=True)
class DataFile:
    """Columns of a file, with the place of each row in the file.

    Args:
        path: the file.
        table: the chosen columns, in the requested order; columns of text tables are unchanged strings.
        summary: one line for the user: rows, separator, encoding, columns.
        skipped: number of bad rows left out.
        delimiter: the character between columns of a text table; None if there is none.
    """

    path: Path
    table: pa.Table
    summary: str
    skipped: int
    delimiter: str | None = None
    _starts: Callable[[], Iterator[int]] | None = field(default=None, repr=False, compare=False)
    _rows: np.ndarray | None = field(default=None, repr=False, compare=False)
    _parts: Sequence[DataFile] = field(default=(), repr=False, compare=False)

    def line_of(self, row: int) -> int | None:
        """Returns the line, counted from 1, at which `row`, counted from 0, begins; None for Parquet.

        This reads the file again, so it is meant for error messages only.
        """
        file, row = self._in_file(row)
        return None if file._starts is None else next(itertools.islice(file._starts(), row, None), None)

    def where(self, row: int) -> str:
        """Returns the place of `row` for messages: `file.csv, line 17` or `file.parquet, row 17`."""
        file, at = self._in_file(row)
        line = self.line_of(row)
        return f"{file.path.name}, row {at + 1}" if line is None else f"{file.path.name}, line {line}"

    def files(self) -> RowFiles:
        """Returns the files that the rows come from."""
        rows = np.arange(self.table.num_rows) if self._rows is None else self._rows
        ends = np.cumsum([part.table.num_rows for part in self._parts[:-1]], dtype=np.int64)
        return RowFiles(self._parts or (self,), np.searchsorted(ends, rows, side="right"))

    def _in_file(self, row: int) -> tuple[DataFile, int]:
        """Returns the file that a row comes from, and the number of the row in it."""
        row = row if self._rows is None else int(self._rows[row])
        for part in self._parts:
            if row < part.table.num_rows:
                return part, row
            row -= part.table.num_rows
        return self, row

    def slices(self, rows: int) -> Iterator[DataFile]:
        """Yields parts of at most `rows` rows, in order."""
        for start in range(0, self.table.num_rows, rows):
            part = self.table.slice(start, rows)
            numbers = (
                np.arange(start, start + part.num_rows) if self._rows is None else self._rows[start : start + rows]
            )
            yield dataclasses.replace(self, table=part, _rows=numbers)

    def without_empty_rows(self) -> tuple[DataFile, list[str]]:
        """Removes the rows in which every chosen column is empty. Spreadsheets write these rows below their data.

        Returns:
            The file, and a note for the user if there were empty rows.

        Raises:
            DataError: every row is empty.
        """
        empty = np.ones(self.table.num_rows, dtype=bool)
        for column in self.table.columns:
            empty &= np.asarray(is_blank(decoded(column)), dtype=bool)
        if not empty.any():
            return self, []
        if empty.all():
            raise DataError(f"{self.path.name}: every row is empty in the columns {listed(self.table.column_names, 8)}")
        rows = np.flatnonzero(~empty)
        kept = dataclasses.replace(self, table=self.table.take(rows), _rows=rows)
        return kept, [f"{counted(int(empty.sum()), 'empty row')} left out"]


class RowFiles(NamedTuple):
    """The files of a table of several files.

    Attributes:
        files: the files.
        of_rows: position of the file of each row, `(rows,)`.
    """

    files: Sequence[DataFile]
    of_rows: np.ndarray


@dataclass
class OpenTable:
    """A table file whose format and columns are known, before its rows are read.

    Args:
        path: the file.
        kind: its format, such as `"Parquet"`; files of one data set have the same.
        schema: the chosen columns.
        names: names of all columns.
        facts: parts of the summary beside the number of rows and the columns.
        read: yields the rows with columns of the given schema, which are those of `schema` with equal or wider types.
        delimiter: see `DataFile`.
        starts: yields the line at which each row begins; None if rows have no lines.
        skipped: number of bad rows left out, known when all rows have been read.
    """

    path: Path
    kind: str
    schema: pa.Schema
    names: Sequence[str]
    facts: Sequence[str]
    read: Callable[[OpenTable, pa.Schema], Iterator[pa.RecordBatch]]
    delimiter: str | None = None
    starts: Callable[[], Iterator[int]] | None = None
    skipped: int = 0

    def batches(self, schema: pa.Schema | None = None) -> Iterator[pa.RecordBatch]:
        """Yields the rows in batches.

        Args:
            schema: types of the columns; those of the file by default.
        """
        return self.read(self, schema or self.schema)

    def file(self, table: pa.Table, rows: np.ndarray | None = None) -> DataFile:
        """Returns a table of rows of this file.

        Args:
            table: the rows.
            rows: their numbers in the file; None if they are all rows.
        """
        summary = summarize(self.path, table.num_rows, self.names, self.skipped, *self.facts)
        starts = None if self.starts is None else self._lines  # keeps this object, and with it a copy of a remote file
        return DataFile(self.path, table, summary, self.skipped, self.delimiter, starts, rows)

    def _lines(self) -> Iterator[int]:
        return iter(()) if self.starts is None else self.starts()


def choose_columns(path: Path, names: Sequence[str], columns: Sequence[str] | None, note: str = "") -> list[int]:
    """Returns the indices of the requested columns, given by name or by position."""
    if columns is None:
        return list(range(len(names)))
    plain = [plain_name(name) for name in names]
    chosen = []
    for column in columns:
        if plain_name(column) in plain:
            chosen.append(plain.index(plain_name(column)))
        elif column.isdecimal() and len(column) < 10 and 1 <= int(column) <= len(names):
            chosen.append(int(column) - 1)
        else:
            meant = hint(plain_name(column), plain)
            raise DataError(f'{path.name} has no column "{column}"{meant}\nIts columns{note} are: {listed(names, 20)}')
    return chosen


def summarize(path: Path, rows: int, names: Sequence[str], skipped: int, *facts: str) -> str:
    """Returns a one-line summary; empty facts are left out."""
    said = [counted(rows, "row"), *filter(None, facts)]
    if skipped:
        said.append(f"{counted(skipped, 'bad row')} left out")
    return f"{path.name}: {', '.join(said)}, columns {listed(names, 8)}"


def decoded(column: Any) -> Any:
    """Returns the values of an Arrow column without dictionaries (pandas categories) and string views (polars)."""
    coded = isinstance(column.type, pa.DictionaryType)
    kind = column.type.value_type if coded else column.type
    viewed = pa.types.is_string_view(kind)
    kind = pa.large_string() if viewed else kind
    if not coded:
        return column.cast(kind) if viewed else column
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([decoded(chunk) for chunk in column.chunks], kind)
    return column.dictionary.cast(kind).take(column.indices)


def is_text(column: Any) -> bool:
    """Returns whether an Arrow column holds strings."""
    return pa.types.is_string(column.type) or pa.types.is_large_string(column.type)


def encoded(column: Any) -> tuple[np.ndarray, list[Any]]:
    """Returns a code for each row of an Arrow column, in order of appearance, and the distinct values."""
    found = pc.dictionary_encode(column)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    if isinstance(found, pa.ChunkedArray):
        found = found.unify_dictionaries().chunk(0)
    return np.asarray(found.indices).astype(np.int64), found.dictionary.to_pylist()


def is_blank(column: Any) -> Any:
    """Returns a mask of the empty cells of an Arrow column: null, NaN, or only spaces."""
    if is_text(column):
        return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True)
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def in_batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    """Yields lists of at most `BATCH_ROWS` rows."""
    while some := list(itertools.islice(rows, BATCH_ROWS)):
        yield some


def collect(schema: pa.Schema, batches: Iterator[pa.RecordBatch], cache_dir: Path | None) -> pa.Table:
    """Collects batches in a table, in memory, or in a file in `cache_dir` if the table is large."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if cache_dir is not None and size > SPILL_BYTES:
            return _spill(schema, itertools.chain(held, batches), cache_dir)
    return pa.Table.from_batches(held, schema)


def _spill(schema: pa.Schema, batches: Iterable[pa.RecordBatch], cache_dir: Path) -> pa.Table:
    """Writes batches to a new file and maps it into memory."""
    name = None
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".arrow", dir=cache_dir)
        os.close(handle)
        with pa.ipc.new_file(name, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return pa.ipc.open_file(pa.memory_map(name)).read_all()
    except BaseException as error:
        if name:
            Path(name).unlink()
        if isinstance(error, OSError):
            raise unwritable(ModelFolderError, f"{cache_dir} cannot be written", error) from None
        raise
