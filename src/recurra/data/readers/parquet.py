"""Reads columns of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recurra.data.files.packed import check_expansion
from recurra.data.files.table import BATCH_ROWS, DataFile, choose_columns, collect, decoded, summarize
from recurra.errors import DataError


def read_parquet(path: Path, columns: Sequence[str] | None, cache_dir: Path | None) -> DataFile:
    """Reads the chosen columns with their types in the file.

    Raises:
        DataError: a column is missing or occurs twice, or the file expands too much.
    """
    with pq.ParquetFile(path, memory_map=True) as file:
        names = [_checked_name(path, i, name) for i, name in enumerate(file.schema_arrow.names, 1)]
        _check_declared_sizes(path, file.metadata)
        chosen = choose_columns(path, names, columns)
        fields = [file.schema_arrow.field(index) for index in chosen]
        for column in fields:
            if names.count(column.name) > 1:
                places = [str(i) for i, name in enumerate(names, 1) if name == column.name]
                raise DataError(
                    f"{path.name} has {len(places)} columns named {column.name} (columns {', '.join(places)})\n"
                    "Rename all but one of them, so that the name is unique."
                )
        schema = pa.schema([pa.field(column.name, _decoded_type(column.type)) for column in fields])
        batches = (
            pa.record_batch([decoded(batch.column(column.name)) for column in schema], schema=schema)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=sorted({column.name for column in fields}))
        )
        table = collect(schema, _validated(path, batches), cache_dir)
    return DataFile(path, table, summarize(path, table.num_rows, names, 0, "Parquet"), 0)


def _checked_name(path: Path, position: int, name: Any) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path.name}: the name of column {position} is not valid UTF-8") from None
    return name


def _check_declared_sizes(path: Path, metadata: Any) -> None:
    """Raises `DataError` if the declared sizes of a file are too large for its compressed size."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    check_expansion(path, path.stat().st_size, sum(max(group.total_byte_size, 0) for group in groups))


def _validated(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Checks that batches are valid and do not expand too much, and yields them."""
    size, found, rows = path.stat().st_size, 0, 0
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


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type that `decoded` gives a column."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind
