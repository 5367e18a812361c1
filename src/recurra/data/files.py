"""What every reader asks of its file first."""

from __future__ import annotations

from pathlib import Path

from recurra.errors import DataError

from .wording import hint


def refuse_no_file(path: Path, what: str = "row") -> None:
    """Raises an error where there is no regular file that holds bytes.

    Args:
        path: the file that somebody named.
        what: of which such a file has many.

    Raises:
        DataError: there is none; the message says what is there, and which name is near.
    """
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{hint(path.name, beside)}")
    if path.is_dir():
        raise DataError(f"{path} is a folder: give the file in it that holds the data")
    if not path.is_file():
        raise DataError(f"{path} is no regular file, and it is read more than once: save it as a file first")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty: there is no {what} in it")
