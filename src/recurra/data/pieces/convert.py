"""Converts files of text tables and Arrow files to Parquet files, of which a part can be read at any position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recurra._util.atomic import written
from recurra.data.files.places import File
from recurra.data.files.remote import RemoteFile
from recurra.data.files.table import OpenTable, ReadOptions
from recurra.errors import ModelFolderError

PART_BYTES = 64 << 20
"""Size of the values in a converted file. A conversion that was stopped continues with the next one."""
GROUP_ROWS = 32_768


def converted(
    file: File,
    opened: OpenTable,
    folder: Path,
    columns: Sequence[str],
    options: ReadOptions,
    note: Callable[[str], None],
) -> Iterator[tuple[Path, int]]:
    """Converts the chosen columns of a file, unless this was done before.

    Args:
        file: the file.
        opened: the same, with the chosen columns.
        folder: for the converted files.
        columns: as the user gave them.
        options: as the user gave them.
        note: called with messages for the user.

    Yields:
        The converted files, in the order of the rows, with the number of rows in each. Their columns are named by
        position.
    """
    place = folder / f"table-{_identity(file, columns, options)}"
    done = _read_index(place)
    if done is None or not done["complete"]:
        note(f"{opened.path.name}: converting to Parquet")
        done = _convert(opened, place, done["rows"] if done else [])
    if done["skipped"]:
        note(f"{opened.path.name}: {done['skipped']:,} bad rows left out")
    yield from ((place / _name(i), rows) for i, rows in enumerate(done["rows"]))


def _convert(opened: OpenTable, place: Path, rows: list[int]) -> dict[str, Any]:
    """Converts the rows below those that were converted before. The index is written after each file."""
    place.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([pa.field(str(i), kind) for i, kind in enumerate(opened.schema.types)])
    held: list[pa.RecordBatch] = []
    above, count, size = sum(rows), 0, 0
    for batch in opened.batches():
        new = batch.slice(min(above, batch.num_rows))
        above -= batch.num_rows - new.num_rows
        while new.num_rows:
            some = new.slice(0, GROUP_ROWS - count % GROUP_ROWS)
            new, count, size = new.slice(some.num_rows), count + some.num_rows, size + some.nbytes
            held.append(pa.record_batch(some.columns, schema=schema))
            if size >= PART_BYTES:
                _write(place, held, schema, rows)
                held, count, size = [], 0, 0
    if held:
        _write(place, held, schema, rows)
    return _write_index(place, {"rows": rows, "complete": True, "skipped": opened.skipped})


def _write(place: Path, held: list[pa.RecordBatch], schema: pa.Schema, rows: list[int]) -> None:
    """Writes one file and its entry in the index."""
    with written(place / _name(len(rows)), ModelFolderError) as partial:
        table = pa.Table.from_batches(held, schema)
        pq.write_table(table, partial, row_group_size=GROUP_ROWS, compression="zstd", compression_level=1)
    rows.append(table.num_rows)
    _write_index(place, {"rows": rows, "complete": False, "skipped": 0})


def _name(number: int) -> str:
    return f"{number:05d}.parquet"


def _read_index(place: Path) -> dict[str, Any] | None:
    """Returns the index of converted files; None if there is none, or it does not fit the files."""
    try:
        found = json.loads((place / "index.json").read_text(encoding="utf-8"))
        sizes = [pq.read_metadata(place / _name(i)).num_rows for i in range(len(found["rows"]))]
        return found if sizes == found["rows"] else None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def _write_index(place: Path, index: dict[str, Any]) -> dict[str, Any]:
    with written(place / "index.json", ModelFolderError) as partial:
        partial.write_text(json.dumps(index), encoding="utf-8")
    return index


def _identity(file: File, columns: Sequence[str], options: ReadOptions) -> str:
    """Returns a hash of what the converted files depend on. The file is identified by name, size and time."""
    if isinstance(file, RemoteFile):
        version: Any = (file.url, file.size, str(file.system.ukey(file.key)))
    else:
        found = file.stat()
        version = (str(file.resolve()), found.st_size, found.st_mtime_ns)
    return hashlib.blake2b(repr((version, tuple(columns), options)).encode(), digest_size=8).hexdigest()
