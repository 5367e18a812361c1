"""Reads columns of Parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recurra.data.files.packed import check_expansion
from recurra.data.files.places import File
from recurra.data.files.remote import RemoteFile
from recurra.data.files.table import BATCH_ROWS, OpenTable, choose_columns, decoded
from recurra.errors import DataError

PARQUET, ARROW = "Parquet", "Arrow"
STREAM = b"\xff\xff\xff\xff"
"""First bytes of an Arrow stream, which is also the content of the `.arrow` files of Hugging Face data sets."""


def open_parquet(file: File, columns: Sequence[str] | None) -> OpenTable:
    """Chooses columns, which are read with their types in the file.

    Raises:
        DataError: a column is missing or occurs twice, or the file expands too much.
    """
    path, size = _named(file)
    with parquet_file(file) as opened:
        metadata = opened.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        check_expansion(path, size, sum(max(group.total_byte_size, 0) for group in groups))
        schema, names = _choose(path, opened.schema_arrow, columns)

    def read(table: OpenTable, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        with parquet_file(file) as opened:
            batches = opened.iter_batches(batch_size=BATCH_ROWS, columns=sorted(set(schema.names)))
            yield from _fitted(_validated(path, size, batches), schema, wanted)

    return OpenTable(path, PARQUET, schema, names, (PARQUET,), read)


def open_arrow(file: File, columns: Sequence[str] | None) -> OpenTable:
    """Chooses columns of an Arrow IPC file (Feather) or stream, which are read with their types in the file.

    Raises:
        DataError: a column is missing or occurs twice, or the file expands too much.
    """
    path, size = _named(file)
    with open_bytes(file) as source:
        schema, names = _choose(path, arrow_reader(source).schema, columns)

    def read(table: OpenTable, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        with open_bytes(file) as source:
            yield from _fitted(_validated(path, size, arrow_batches(arrow_reader(source))), schema, wanted)

    return OpenTable(path, ARROW, schema, names, (ARROW,), read)


def parquet_file(file: File) -> pq.ParquetFile:
    """Opens a Parquet file so that a row group is read page by page, not as a whole."""
    return pq.ParquetFile(open_bytes(file), buffer_size=1 << 20, pre_buffer=False)


def open_bytes(file: File) -> Any:
    """Opens a file on this machine or behind a URL, for pyarrow."""
    return pa.PythonFile(file.open(), mode="r") if isinstance(file, RemoteFile) else pa.OSFile(str(file), "rb")


def arrow_reader(source: Any) -> Any:
    """Returns a reader of an Arrow IPC file, or of an Arrow stream."""
    if source.read(len(STREAM)) == STREAM:
        source.seek(0)
        return pa.ipc.open_stream(source)
    source.seek(0)
    return pa.ipc.open_file(source)


def arrow_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    """Yields the batches of a reader, in slices of at most `BATCH_ROWS` rows."""
    is_file = isinstance(reader, pa.RecordBatchFileReader)
    for batch in map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def _named(file: File) -> tuple[Path, int]:
    """Returns the path, for messages, and the size."""
    return (Path(file.name), file.size) if isinstance(file, RemoteFile) else (file, file.stat().st_size)


def _choose(path: Path, found: pa.Schema, columns: Sequence[str] | None) -> tuple[pa.Schema, list[str]]:
    """Returns the schema of the chosen columns, and the names of all columns."""
    names = [_checked_name(path, i, name) for i, name in enumerate(found.names, 1)]
    fields = [found.field(index) for index in choose_columns(path, names, columns)]
    for column in fields:
        if names.count(column.name) > 1:
            places = [str(i) for i, name in enumerate(names, 1) if name == column.name]
            raise DataError(
                f"{path.name} has {len(places)} columns named {column.name} (columns {', '.join(places)})\n"
                "Rename all but one of them, so that the name is unique."
            )
    return pa.schema([pa.field(column.name, _decoded_type(column.type)) for column in fields]), names


def _checked_name(path: Path, position: int, name: Any) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path.name}: the name of column {position} is not valid UTF-8") from None
    return name


def _validated(path: Path, size: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Checks that batches are valid and do not expand too much, and yields them."""
    found, rows = 0, 0
    for batch in batches:
        found += batch.nbytes
        check_expansion(path, size, found)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                place = f"rows {rows + 1} to {rows + len(column)}, column {name}"
                raise DataError(f"{path.name}, {place}: {str(error).partition(chr(10))[0]}") from None
        rows += len(batch)
        yield batch


def _fitted(batches: Iterator[pa.RecordBatch], schema: pa.Schema, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yields the columns of a schema, without dictionaries, with the types of another schema."""
    for batch in batches:
        columns = [decoded(batch.column(name)) for name in schema.names]
        pairs = zip(columns, wanted, strict=True)
        yield pa.record_batch([c if c.type == f.type else c.cast(f.type) for c, f in pairs], schema=wanted)


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type that `decoded` gives a column."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind
