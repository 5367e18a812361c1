"""A table on the disk or behind a URL, read in pieces of some ten thousand rows in any order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from recurra._util.messages import counted, listed
from recurra.data.files.access import reading
from recurra.data.files.places import File, find_files
from recurra.data.files.remote import RemoteFile
from recurra.data.files.table import BATCH_ROWS, DETECT, DataFile, OpenTable, ReadOptions, decoded
from recurra.data.readers.tables import check_kind, data_size, open_table
from recurra.data.readers.typed.columnar import PARQUET, parquet_file
from recurra.errors import DataError

from .convert import converted

PIECE_ROWS = 32_768
SCAN_ROWS = 65_536
PIECE_BYTES = 16 << 20
"""Greatest size of the chosen columns of a piece, estimated from the mean size of a row of its row group."""


class Part(NamedTuple):
    """A Parquet file with rows of a data set.

    Attributes:
        file: the Parquet file.
        source: the file that the user gave: the same, or one that was converted.
        first: number of the first row in `source`.
        names: names of the chosen columns in `file`.
    """

    file: File
    source: OpenTable
    first: int
    names: tuple[str, ...]


class Piece(NamedTuple):
    """Neighbouring rows of a row group.

    Attributes:
        part: number of the part.
        group: number of the row group.
        start: number of the first row in the row group.
        rows: number of rows.
        first: number of the first row in the part.
    """

    part: int
    group: int
    start: int
    rows: int
    first: int


class LargeTable:
    r"""Columns of a data set of any size.

    Row groups of Parquet files are read in pieces. Files of other formats are converted to Parquet files in `folder`
    first, one after the other; a conversion that was stopped continues with the next part.

    Args:
        path: files as in `read_table`.
        columns: names or positions of the columns.
        folder: for converted files.
        options: options of reading the files.
        note: called with messages for the user.

    Attributes:
        pieces: the pieces, in the order of the files.
        rows: number of rows.

    Raises:
        DataError: a file cannot be read, lacks a column, or has another kind than the first one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "reviews.csv")
        ...     _ = path.write_text("text,label\ngood,1\nbad,0\n", encoding="utf-8")
        ...     table = LargeTable(path, ["text", "label"], Path(folder, "run"))
        ...     [piece.rows for piece in table.pieces], table["label"].read(0).table["label"].to_pylist()
        ([2], ['1', '0'])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str],
        folder: Path,
        options: ReadOptions = DETECT,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        files = find_files(os.fspath(path))
        self._parts: list[Part] = []
        first: OpenTable | None = None
        for file in files:
            with reading(_local(file), pa.ArrowException):
                done = converted(file, None, folder, columns, options, note)
                opened = open_table(file, columns, options) if done is None else done.source
                first = first or opened
                check_kind(first, opened)
                if opened.kind == PARQUET:
                    self._parts.append(Part(file, opened, 0, tuple(opened.schema.names)))
                    continue
                done = done or converted(file, opened, folder, columns, options, note)
                rows, names = 0, tuple(map(str, range(len(opened.schema))))
                if done is not None:  # `converted` returns None only without an opened file
                    for made, count in done.parts:
                        self._parts.append(Part(made, done.source, rows, names))
                        rows += count
        assert first is not None  # noqa: S101  (`find_files` returns at least one file)
        self.columns, self.name = tuple(columns), Path(path).name if len(files) == 1 else str(path)
        self.types = list(first.schema.types)
        self.pieces = [piece for i, part in enumerate(self._parts) for piece in _pieces_of(i, part)]
        self.rows = sum(piece.rows for piece in self.pieces)
        if not self.rows:
            raise DataError(f"{self.name} has columns ({listed(first.schema.names, 8)}) but no rows below them")
        self.summary = (
            f"{self.name}: {counted(self.rows, 'row')} in {counted(len(files), 'file')}, "
            f"{', '.join(filter(None, first.facts))}, columns {listed(first.names, 8)}; "
            f"read in {counted(len(self.pieces), 'piece')}"
        )

    def __getitem__(self, column: str) -> PieceColumn:
        """Returns a column, by the name or position given to the constructor."""
        return PieceColumn(self, self.columns.index(column))

    def batches(self, piece: int | Piece, columns: Sequence[int], rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a piece, some thousand at a time.

        Args:
            piece: the piece, or its number.
            columns: positions of columns in `columns`.
            rows: number of rows from the beginning of the piece; all by default.
        """
        found = self.pieces[piece] if isinstance(piece, int) else piece
        part = self._parts[found.part]
        names = [part.names[i] for i in columns]
        skip, left = found.start, found.rows if rows is None else min(rows, found.rows)
        with reading(_local(part.file), pa.ArrowException), parquet_file(part.file) as opened:
            for batch in opened.iter_batches(BATCH_ROWS, row_groups=[found.group], columns=sorted(set(names))):
                some = batch.slice(min(skip, batch.num_rows), left)
                skip -= min(skip, batch.num_rows)
                left -= some.num_rows
                if some.num_rows:
                    yield pa.record_batch([decoded(some.column(name)) for name in names], names=list(map(str, columns)))
                if not left:
                    return

    def scan(self, column: int) -> Iterator[DataFile]:
        """Yields all rows of one column, in the order of the files. Each file is opened once.

        Args:
            column: position in `columns`.
        """
        for part in self._parts:
            name, first = part.names[column], part.first
            with reading(_local(part.file), pa.ArrowException), parquet_file(part.file) as opened:
                for batch in opened.iter_batches(SCAN_ROWS, columns=[name]):
                    table = pa.table([decoded(batch.column(name))], names=[self.columns[column]])
                    yield part.source.file(table, np.arange(first, first + table.num_rows))
                    first += table.num_rows

    def file(self, piece: int | Piece, table: pa.Table, skip: int = 0) -> DataFile:
        """Returns rows of a piece with their places in the user's file.

        Args:
            piece: the piece, or its number.
            table: its rows.
            skip: number of rows of the piece before them.
        """
        found = self.pieces[piece] if isinstance(piece, int) else piece
        part = self._parts[found.part]
        first = part.first + found.first + skip
        return part.source.file(table, np.arange(first, first + table.num_rows))

    def fingerprint(self) -> str:
        """Hash of the data: names and sizes of the Parquet files, and their footers with the statistics of columns."""
        digest = hashlib.blake2b(repr(self.columns).encode(), digest_size=16)
        for part in self._parts:
            digest.update(part.source.path.name.encode())
            with part.file.open() if isinstance(part.file, RemoteFile) else part.file.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - 8, 0))
                length = int.from_bytes(file.read(4), "little")
                file.seek(max(size - 8 - length, 0))
                digest.update(size.to_bytes(8, "little") + file.read(length))
        return digest.hexdigest()


@dataclass(frozen=True)
class PieceColumn:
    """A column of a `LargeTable`, accepted by `fit` in place of `X` and `y`.

    Attributes:
        table: the table.
        index: position among its columns.
        convert: converts a file with this column to an array of targets, None or NaN for missing ones; by default the
            values are taken as they are.
    """

    table: LargeTable
    index: int
    convert: Callable[[DataFile], np.ndarray] | None = None

    def read(self, piece: int) -> DataFile:
        """Returns a table with the values of a piece."""
        table = pa.Table.from_batches(list(self.table.batches(piece, [self.index])))
        return self.table.file(piece, table.rename_columns([self.table.columns[self.index]]))

    def scan(self) -> Iterator[DataFile]:
        """Yields all values, some ten thousand at a time, without the other columns."""
        return self.table.scan(self.index)

    def targets(self, file: DataFile) -> np.ndarray:
        """Converts the values of a table that `read` returned, or of a part of it."""
        column = file.table.column(0)
        return column.to_numpy() if self.convert is None else self.convert(file)


def table_size(path: str | os.PathLike[str], columns: Sequence[str]) -> tuple[int, int]:
    """Returns the number of rows and the size in bytes of columns of Parquet files, before they are read.

    Of other files, the number of rows is 0 and the size is that of the files.
    """
    files = find_files(os.fspath(path))
    if not all(file.name.lower().endswith(".parquet") for file in files):
        return 0, data_size(path)
    rows = size = 0
    for file in files:
        with reading(_local(file), pa.ArrowException):
            names = set(open_table(file, columns).schema.names)
            with parquet_file(file) as opened:
                rows += opened.metadata.num_rows
                groups = [opened.metadata.row_group(i) for i in range(opened.metadata.num_row_groups)]
                size += sum(_bytes_of(group, opened.schema_arrow.names, names) for group in groups)
    return rows, size


def _pieces_of(number: int, part: Part) -> Iterator[Piece]:
    """Yields the pieces of a Parquet file."""
    with parquet_file(part.file) as opened:
        metadata, first = opened.metadata, 0
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            size = _bytes_of(found, opened.schema_arrow.names, set(part.names))
            rows = max(min(PIECE_ROWS, int(PIECE_BYTES / max(size / max(found.num_rows, 1), 1))), 1)
            for start in range(0, found.num_rows, rows):
                count = min(rows, found.num_rows - start)
                yield Piece(number, group, start, count, first + start)
            first += found.num_rows


def _bytes_of(group: Any, names: Sequence[str], wanted: set[str]) -> int:
    """Returns the size of some columns of a row group. A nested column has several chunks."""
    size = 0
    for chunk in map(group.column, range(group.num_columns)):
        name = chunk.path_in_schema
        if name in wanted or (name not in names and name.partition(".")[0] in wanted):
            size += chunk.total_uncompressed_size
    return size


def _local(file: File) -> Path:
    return Path(file.name) if isinstance(file, RemoteFile) else file
