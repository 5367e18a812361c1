"""Reads columns of a CSV, TSV, JSON Lines or Parquet file into an Arrow table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from recurra._util.messages import listed
from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.signatures import HEAD_BYTES, recognize
from recurra.data.files.table import DETECT, DataFile, ReadOptions
from recurra.errors import DataError

from .delimited import read_delimited
from .jsonl import read_json
from .parquet import read_parquet
from .sniff import table_suffix

__all__ = ["DataFile", "ReadOptions", "read_table"]


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    options: ReadOptions = DETECT,
    *,
    cache_dir: Path | None = None,
) -> DataFile:
    r"""Reads columns of a CSV, TSV, JSON Lines or Parquet file.

    The text formats may be compressed with gzip, bzip2 or xz. Encoding, delimiter, quoting and header of text tables
    are detected.

    Args:
        path: the file.
        columns: names of columns, or their positions counted from 1, such as `"2"`; all of them by default.
            Column `i` of the table is `columns[i]`, under its name in the file.
        options: options of reading the file.
        cache_dir: folder for tables over 64 MB, which are written there and memory-mapped; None to use memory.

    Raises:
        DataError: the file cannot be read, lacks a column, has no rows, or has a bad row. The message names the place.

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
    path = Path(path)
    with reading(path, pa.ArrowException):
        if _is_parquet(path):
            file = read_parquet(path, columns, cache_dir)
        elif table_suffix(path) in (".jsonl", ".ndjson", ".json"):
            file = read_json(path, columns, options, cache_dir)
        else:
            file = read_delimited(path, columns, options, cache_dir)
    if not file.table.num_rows:
        raise DataError(f"{path.name} has columns ({listed(file.table.column_names, 8)}) but no rows below them")
    return file


def _is_parquet(path: Path) -> bool:
    """Returns whether the file is Parquet, by its name or its first bytes. Raises `DataError` for an empty file."""
    refuse_no_file(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    named = path.suffix.lower() == ".parquet"
    if named and not head.startswith(b"PAR1") and (error := recognize(path, head)) is not None:
        raise error
    return named or head.startswith(b"PAR1")
