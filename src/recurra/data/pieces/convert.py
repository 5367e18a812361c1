"""Converts files of text tables and Arrow files to Parquet files, of which a part can be read at any position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from recurra._util.atomic import written
from recurra._util.messages import counted
from recurra.data.files.places import File
from recurra.data.files.remote import RemoteFile
from recurra.data.files.table import OpenTable, ReadOptions
from recurra.data.readers.tables import open_table
from recurra.errors import ModelFolderError

PART_BYTES = 64 << 20
"""Size of the values in a converted file. A conversion that was stopped continues with the next one."""
GROUP_ROWS = 32_768


class Converted(NamedTuple):
    """A file and the Parquet files that its chosen columns were converted to.

    Attributes:
        source: the file. It is opened again if a message needs the line of a row.
        parts: the Parquet files, in the order of the rows, with the number of rows in each. Their columns are named by
            position.
    """

    source: OpenTable
    parts: list[tuple[Path, int]]


def converted(
    file: File,
    opened: OpenTable | None,
    folder: Path,
    columns: Sequence[str],
    options: ReadOptions,
    note: Callable[[str], None],
) -> Converted | None:
    """Converts the chosen columns of a file, unless this was done before.

    Args:
        file: the file.
        opened: the same, with the chosen columns; None to return only what was converted before.
        folder: for the converted files.
        columns: as the user gave them.
        options: as the user gave them.
        note: called with messages for the user.

    Returns:
        The converted files; None without `opened` if the conversion is not complete.
    """
    place = folder / f"table-{_identity(file, columns, options)}"
    done = _read_index(place)
    if done is None or not done["complete"]:
        if opened is None:
            return None
        note(f"{opened.path.name}: converting to Parquet")
        done = _convert(opened, place, done["rows"] if done else [])
    if done["skipped"]:
        note(f"{done['name']}: {counted(done['skipped'], 'bad row')} left out")
    schema = pq.read_schema(place / _name(0)) if done["rows"] else pa.schema([(str(i), pa.string()) for i in columns])

    def starts() -> Iterator[int]:
        again = open_table(file, columns, options)
        yield from again.starts() if again.starts else ()

    names = [pa.field(name, kind) for name, kind in zip(done["chosen"], schema.types, strict=True)]
    source = OpenTable(
        Path(done["name"]),
        done["kind"],
        pa.schema(names),
        done["names"],
        done["facts"],
        lambda table, wanted: iter(()),  # the rows are in the converted files
        done["delimiter"],
        starts if done["lines"] else None,
        done["skipped"],
    )
    return Converted(source, [(place / _name(i), rows) for i, rows in enumerate(done["rows"])])


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
    known = {
        "rows": rows,
        "complete": True,
        "skipped": opened.skipped,
        "name": opened.path.name,
        "kind": opened.kind,
        "chosen": opened.schema.names,
        "names": list(opened.names),
        "facts": list(opened.facts),
        "delimiter": opened.delimiter,
        "lines": opened.starts is not None,
    }
    return _write_index(place, known)


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
