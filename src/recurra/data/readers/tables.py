"""Reads columns of CSV, TSV, JSON, Parquet, Arrow and Excel files into an Arrow table."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from recurra._util.messages import counted, listed, plain_name
from recurra.data.files.access import is_folder, reading, refuse_no_file
from recurra.data.files.packed import PACKED_SUFFIXES
from recurra.data.files.places import File, find_files
from recurra.data.files.remote import RemoteFile, url_of
from recurra.data.files.signatures import HEAD_BYTES, recognize
from recurra.data.files.table import DETECT, DataFile, OpenTable, ReadOptions, collect
from recurra.errors import DataError

from .delimited import open_delimited
from .jsonl import open_json
from .sniff import table_suffix
from .typed.columnar import STREAM, open_arrow, open_parquet
from .typed.workbook import SUFFIX, ZIP, open_workbook, split_sheet

__all__ = ["DataFile", "ReadOptions", "check_kind", "data_size", "open_table", "read_table", "stream_table"]

COMPRESSION = 4
"""Estimated ratio of unpacked to packed size of text and of Parquet files."""
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")


FILE, FOLDER = "file", "folder"
"""Names of the columns with the name of the file, and with that of its folder."""


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    options: ReadOptions = DETECT,
    *,
    cache_dir: Path | None = None,
) -> DataFile:
    r"""Reads columns of a CSV, TSV, JSON Lines, Parquet, Arrow or Excel file, or of several files.

    `file.xlsx#Sheet` names a sheet of a workbook; without it, the first one is read. The text formats may be compressed
    with gzip, bzip2, xz or Zstandard. Encoding, delimiter, quoting and header of text tables are detected, for each
    file.

    Args:
        path: a file, a folder, a pattern such as `data/part-*.csv`, or a URL of any of these, such as
            `s3://bucket/folder`; see `find_files`. Rows are in the order of the names of the files.
        columns: names of columns, or their positions counted from 1, such as `"2"`; all of them by default.
            Column `i` of the table is `columns[i]`, under its name in the (first) file.
        options: options of reading the file.
        cache_dir: folder for tables over 64 MB, which are written there and memory-mapped; None to use memory.

    Raises:
        DataError: a file cannot be read, lacks a column, has no rows, or has a bad row. The message names the place.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "reviews.csv")
        ...     _ = path.write_text('text,label\n"good, really",1\nbad,0\n', encoding="utf-8")
        ...     file = read_table(path, ["text"])
        ...     file.where(1)
        'reviews.csv, line 3'
        >>> file.table.to_pydict()
        {'text': ['good, really', 'bad']}
        >>> file.summary
        'reviews.csv: 2 rows, comma-separated, UTF-8, quoted, columns text, label'
    """
    files = find_files(os.fspath(path))
    if len(files) == 1:
        with reading(_local(files[0]), pa.ArrowException):
            opened = open_table(files[0], columns, options)
            file = opened.file(collect(opened.schema, opened.batches(), cache_dir))
        if not file.table.num_rows:
            raise _no_rows(file.path, file.table.schema)
        return file
    return _read_several(Path(path), files, columns, options, cache_dir)


def read_filled(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None,
    options: ReadOptions = DETECT,
    *,
    cache_dir: Path | None = None,
) -> tuple[DataFile, list[str]]:
    r"""Reads columns as `read_table` does, without empty rows. The names of the files can be columns too.

    The column `file` has the name of the file of each row, below the folder `path` if it is one. The column `folder`
    has the name of the folder of this file. A column of the table with one of these names comes first, and data behind
    a URL have neither.

    Args:
        path: see `read_table`.
        columns: see `read_table`; it may name `file` and `folder`.
        options: see `read_table`.
        cache_dir: see `read_table`.

    Returns:
        The file, and a note for the user if there were empty rows.

    Raises:
        DataError: see `read_table`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, value in (("walk", 1), ("run", 2)):
        ...         Path(folder, name).mkdir()
        ...         _ = Path(folder, name, "a.csv").write_text(f"speed\n{value}\n")
        ...     file, _ = read_filled(folder, ["file", "speed", "folder"])
        >>> file.table.to_pydict()
        {'file': ['run/a.csv', 'walk/a.csv'], 'speed': ['2', '1'], 'folder': ['run', 'walk']}
    """
    named = [] if columns is None or url_of(path) is not None else [c for c in columns if c in (FILE, FOLDER)]
    if named:
        known = set(map(plain_name, open_table(find_files(os.fspath(path))[0], None, options).names))
        named = [name for name in named if name not in known]
    wanted = None if columns is None else [name for name in columns if name not in named]
    file, notes = read_table(path, wanted, options, cache_dir=cache_dir).without_empty_rows()
    table, found = file.table, file.files()
    for i, name in enumerate(columns or ()):
        if name in named:
            names = [_name(one.path, Path(path), name) for one in found.files]
            column = pa.DictionaryArray.from_arrays(pa.array(found.of_rows, pa.int32()), pa.array(names, pa.string()))
            table = table.add_column(i, name, column)
    return dataclasses.replace(file, table=table), notes


def _name(file: Path, given: Path, column: str) -> str:
    """Returns the name of a file, or that of its folder."""
    if column == FOLDER:
        return file.resolve().parent.name
    return file.relative_to(given).as_posix() if is_folder(given) else file.as_posix()


def stream_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    options: ReadOptions = DETECT,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[DataFile]:
    """Reads columns as `read_table` does, and yields some thousand rows at a time; memory does not grow with the rows.

    The types of a column may differ between files.

    Args:
        path: see `read_table`.
        columns: see `read_table`.
        options: see `read_table`.
        note: called with messages for the user: the format, and bad rows that were left out.
    """
    several, first, rows = find_files(os.fspath(path)), None, 0
    for file in several:
        with reading(_local(file), pa.ArrowException):
            opened = open_table(file, columns, options)
            if first is None:
                first, count = opened, f"{counted(len(several), 'file')}, " if len(several) > 1 else ""
                name = opened.path.name if len(several) == 1 else path
                facts = ", ".join(filter(None, opened.facts))
                note(f"{name}: {count}{facts}, columns {listed(opened.names, 8)}")
            check_kind(first, opened)
            start = 0
            for batch in opened.batches():
                table = pa.Table.from_batches([batch])
                yield opened.file(table, np.arange(start, start + batch.num_rows))
                start += batch.num_rows
            rows += start
            if opened.skipped:
                note(f"{opened.path.name}: {counted(opened.skipped, 'bad row')} left out")
    if first is not None and not rows:
        raise _no_rows(first.path if len(several) == 1 else Path(path), first.schema)


def data_size(path: str | os.PathLike[str]) -> int:
    """Returns the number of bytes of the files of a data set, estimated for compressed text and Parquet.

    Raises:
        DataError: there are no files.
    """
    total = 0
    for file in find_files(os.fspath(path)):
        try:
            size = file.size if isinstance(file, RemoteFile) else file.stat().st_size
        except OSError:
            size = 0  # the reader reports the error
        total += size * (COMPRESSION if file.name.lower().endswith((*PACKED_SUFFIXES, ".parquet")) else 1)
    return total


def open_table(file: File, columns: Sequence[str] | None = None, options: ReadOptions = DETECT) -> OpenTable:
    """Detects the format of one file and chooses the columns; rows are read later.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    file, sheet = (file, None) if isinstance(file, RemoteFile) else split_sheet(file)
    suffix, head = table_suffix(_local(file)), _head(file)
    if suffix == ".parquet" or head.startswith(b"PAR1"):
        return open_parquet(file, columns)
    if suffix in ARROW_SUFFIXES or head.startswith((b"ARROW1", STREAM)):
        return open_arrow(file, columns)
    opener = open_json if suffix in (".jsonl", ".ndjson", ".json") else open_delimited
    if suffix == SUFFIX and head.startswith(ZIP):
        opener = partial(open_workbook, sheet=sheet)
    if not isinstance(file, RemoteFile):
        return opener(file, columns, options)
    folder = tempfile.mkdtemp(prefix="recurra-")  # text is read several times
    try:
        found = opener(file.fetch(Path(folder)), columns, options)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _read_several(
    path: Path, files: Sequence[File], columns: Sequence[str] | None, options: ReadOptions, cache_dir: Path | None
) -> DataFile:
    """Reads several files as one table."""
    opened: list[OpenTable] = []
    for file in files:
        with reading(_local(file), pa.ArrowException):
            opened.append(open_table(file, columns, options))
            check_kind(opened[0], opened[-1])
    schema = _common_schema(opened)
    counts: list[int] = []

    def batches(table: OpenTable) -> Iterator[pa.RecordBatch]:
        counts.append(0)
        with reading(table.path, pa.ArrowException):
            for batch in table.batches(schema):
                counts[-1] += batch.num_rows
                yield batch

    table = collect(schema, chain.from_iterable(map(batches, opened)), cache_dir)
    if not table.num_rows:
        raise _no_rows(path, schema)
    starts = np.cumsum([0, *counts])
    parts = [one.file(table.slice(starts[i], counts[i])) for i, one in enumerate(opened)]
    skipped, facts = sum(part.skipped for part in parts), opened[0].facts
    left_out = f", {counted(skipped, 'bad row')} left out" if skipped else ""
    summary = (
        f"{path}: {counted(table.num_rows, 'row')} in {counted(len(parts), 'file')}, "
        f"{', '.join(filter(None, facts))}{left_out}, columns {listed(opened[0].names, 8)}"
    )
    return DataFile(path, table, summary, skipped, opened[0].delimiter, None, None, parts)


def check_kind(first: OpenTable, other: OpenTable) -> None:
    """Refuses files of different kinds in one data set."""
    if first.kind != other.kind:
        raise DataError(
            f"{first.path.name} is {first.kind}, but {other.path.name} is {other.kind}: files of one data set are of "
            f"one kind\nName one kind with a pattern, such as 'folder/*{first.path.suffix}'."
        )


def _common_schema(tables: Sequence[OpenTable]) -> pa.Schema:
    """Returns the columns of the first file, with types that can represent the values of all files.

    Raises:
        DataError: two files have types that have none in common. The message names the second file.
    """
    fields = list(tables[0].schema)
    for table in tables[1:]:
        for i, field in enumerate(table.schema):
            kind = _common_type(fields[i].type, field.type, table.kind)
            if kind is None:
                raise DataError(
                    f"{table.path.name}: column {field.name} has values of type {field.type}, but {fields[i].type} in "
                    f"{tables[0].path.name}"
                )
            fields[i] = fields[i].with_type(kind)
    return pa.schema(fields)


def _common_type(one: pa.DataType, other: pa.DataType, kind: str) -> pa.DataType | None:
    try:
        pair = [pa.schema([("", one)]), pa.schema([("", other)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        scalar = not pa.types.is_nested(one) and not pa.types.is_nested(other)
        return pa.string() if scalar and kind == "JSON Lines" else None  # as within one file


def _local(file: File) -> Path:
    """Returns the path of a file; of a remote file, its name."""
    return Path(file.name) if isinstance(file, RemoteFile) else file


def _no_rows(path: Path, schema: pa.Schema) -> DataError:
    return DataError(f"{path.name} has columns ({listed(schema.names, 8)}) but no rows below them")


def _head(file: File) -> bytes:
    """Returns the first bytes of a file.

    Raises:
        DataError: the file is empty, or is named as Parquet or Arrow but has another format that is known.
    """
    if isinstance(file, RemoteFile):
        if not file.size:
            raise DataError(f"{file.name} is empty: there is no row in it")
    else:
        refuse_no_file(file)
    with file.open() if isinstance(file, RemoteFile) else file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    named = _local(file).suffix.lower()
    magic = {".parquet": (b"PAR1",), **dict.fromkeys(ARROW_SUFFIXES, (b"ARROW1", STREAM))}.get(named)
    if magic and not head.startswith(magic) and (error := recognize(_local(file), head)) is not None:
        raise error
    return head
