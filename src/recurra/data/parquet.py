"""Reads columns of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .table import DataFile, choose_columns, collect, decoded, summarize


def read_parquet(path: Path, columns: Sequence[str] | None, cache_dir: Path | None) -> DataFile:
    """Reads the chosen columns with the types that the file gives them."""
    with pq.ParquetFile(path, memory_map=True) as file:
        names = file.schema_arrow.names
        chosen = choose_columns(path, names, columns)
        fields = [file.schema_arrow.field(index) for index in chosen]
        schema = pa.schema([pa.field(column.name, _decoded_type(column.type)) for column in fields])
        batches = (
            pa.record_batch([decoded(batch.column(column.name)) for column in schema], schema=schema)
            for batch in file.iter_batches(columns=sorted({column.name for column in fields}))
        )
        table = collect(schema, batches, cache_dir)
    return DataFile(path, table, summarize(path, table.num_rows, names, 0, "Parquet"), 0)


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type of what `decoded` makes of a column."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind
