"""Reads recordings: a column of file names, one file, or a folder of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recurra.errors import DataError

from .console import say
from .files import located
from .options import FileOptions


def as_sounds(column: Any, table: Path, where: Callable[[int], str]) -> Any:
    """Converts a column of file names, relative to the table, to recordings. Returns any other column unchanged.

    Args:
        column: of the table.
        table: the table. Relative names begin in its folder; if it is a folder of tables, in this folder.
        where: says file and line of a row.

    Raises:
        DataError: a file is missing or cannot be read; the message names the line.
    """
    from recurra.data.files.access import is_folder
    from recurra.data.files.audio import as_recordings, first_known, is_audio_name

    if not is_audio_name(first_known(column)):
        return column
    with located(where):
        recordings = as_recordings(column.to_pylist())
        folder = table if is_folder(table) else table.parent
        return checked([folder / path for path in recordings.rows])  # type: ignore[union-attr]


def checked(paths: list[Path]) -> list[Path]:
    """Checks each file and reports a summary. Returns the same paths.

    Raises:
        DataError: a file is missing or cannot be read; the error knows its row.
    """
    from recurra.data.files.audio import Recordings

    recordings = Recordings(paths)
    say(recordings.summary())
    return paths


def sounds_at(source: str) -> list[Path] | None:
    """Returns the sound file of a name, or all sound files of a folder; None for tables and folders of tables.

    Raises:
        DataError: the folder holds neither sounds nor tables.
    """
    from recurra.data.files.access import is_folder
    from recurra.data.files.audio import SUFFIXES, is_audio_name
    from recurra.data.readers.sniff import TABLE_SUFFIXES, table_suffix

    path = Path(source)
    if is_folder(path):
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        below = {table_suffix(p) for p in path.rglob("*")} if not found else set()
        if below & {*TABLE_SUFFIXES, ".txt"} and not below & set(SUFFIXES):
            return None
        if not found:
            raise DataError(f"the folder {path} contains no sound files ({', '.join(SUFFIXES)})")
        return checked(found)
    return checked([path]) if is_audio_name(source) else None


def read_sounds(column_of: str | None, source: str, options: FileOptions) -> Any:
    """Reads the sequences of a source: a sound file, a folder of sound files, or the column of a table."""
    from recurra.errors import UsageError

    from .files import read_columns

    found = sounds_at(source)
    if found is not None:
        return found
    if column_of is None:
        raise UsageError("this model has no name of an input column; name it with --input")
    file = read_columns(Path(source), [column_of], options)
    return as_sounds(file.table.column(0), Path(source), file.where)
