"""Reads a text file as one running text."""

from __future__ import annotations

from pathlib import Path

from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.encoding import encoding_name, find_encoding, open_text
from recurra.errors import DataError


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Reads a text file, plain or compressed.

    Args:
        path: the file.
        encoding: a Python codec; detected if None.

    Returns:
        The text, with a newline for every line end, and a one-line summary for the user.

    Raises:
        DataError: the file cannot be read, or has no text.
    """
    refuse_no_file(path, "text")
    found = find_encoding(path, encoding)
    with reading(path), open_text(path, found) as file:
        text = file.read().replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError(f"{path.name} is empty: there is no text in it")
    return text, f"{path.name}: {len(text):,} characters, {encoding_name(found)}"
