"""Checks a file before it is read, and converts errors while reading to data errors."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recurra._util.messages import hint, shortened
from recurra.errors import DataError

_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError)


@contextmanager
def reading(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Converts the errors that a damaged or unreadable file causes in the block to `DataError`.

    Args:
        path: the file.
        also: further types of errors to convert, of the library that reads the file.
    """
    try:
        yield
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"cannot read {path}: there is not enough memory for its content") from None
    except (*_UNREADABLE, *also) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"cannot read {path}: {reason}") from None


def is_file(path: str | Path) -> bool:
    """Returns whether a regular file has this name; False if the text cannot be a name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Returns whether a folder has this name; False if the text cannot be a name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def refuse_no_file(path: Path, what: str = "row") -> None:
    """Raises an error unless the path is a regular file that is not empty.

    Args:
        path: the given file.
        what: the items of the file, for the message: rows, lines, …

    Raises:
        DataError: there is no regular file. The message says what exists there, or suggests a similar name.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long or contains NUL, or a folder without permission
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"there is no file {shortened(str(path))}: {reason}") from None
    if not exists:
        raise DataError(f"there is no file {path}{hint(path.name, _siblings(path))}")
    if path.is_dir():
        raise DataError(f"{path} is a folder: give the file in it that holds the data")
    if not path.is_file():
        raise DataError(f"{path} is not a regular file, and it is read more than once: save it as a file first")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty: there is no {what} in it")


def _siblings(path: Path) -> list[str]:
    """Returns the names of the files in the folder of a path."""
    try:
        return [other.name for other in path.parent.iterdir()]
    except OSError:
        return []
