"""Recordings on the command line: a column of file names, one file, or a folder of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recurra.errors import DataError

from .console import say
from .files import located
from .options import Reading


def as_sounds(column: Any, folder: Path, where: Callable[[int], str]) -> Any:
    """A column of file names as recordings, looked for beside the table; any other column as it is.

    Args:
        column: of the table.
        folder: that of the table, where relative names begin.
        where: says file and line of a row.

    Raises:
        DataError: a file is missing or cannot be read; the message names the line.
    """
    from recurra.data.files.audio import as_recordings, first_known, is_audio_name

    if not is_audio_name(first_known(column)):
        return column
    with located(where):
        recordings = as_recordings(column.to_pylist())
        return checked([folder / path for path in recordings.rows])  # type: ignore[union-attr]


def checked(paths: list[Path]) -> list[Path]:
    """The same paths, after a look at each file; says what was found.

    Raises:
        DataError: a file is missing or cannot be read; the error knows its row.
    """
    from recurra.data.files.audio import Recordings

    recordings = Recordings(paths)
    say(recordings.summary())
    return paths


def sounds_at(source: str) -> list[Path] | None:
    """The files that a name stands for: one file of sound, or all those of a folder; None for anything else.

    Raises:
        DataError: the folder holds no sound.
    """
    from recurra.data.files.access import is_folder
    from recurra.data.files.audio import SUFFIXES, is_audio_name

    path = Path(source)
    if is_folder(path):
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"the folder {path} holds no files of sound ({', '.join(SUFFIXES)})")
        return checked(found)
    return checked([path]) if is_audio_name(source) else None


def read_sounds(column_of: str | None, source: str, options: Reading) -> Any:
    """The sequences of a source: a file of sound, a folder of them, or the column of a table."""
    from recurra.errors import UsageError

    from .files import read_columns

    found = sounds_at(source)
    if found is not None:
        return found
    if column_of is None:
        raise UsageError("the model does not know its column; name it with --input")
    file = read_columns(Path(source), [column_of], options)
    return as_sounds(file.table.column(0), Path(source).parent, file.where)
