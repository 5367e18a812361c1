"""Finds the format of a file of word vectors from its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.packed import open_binary
from recurra.errors import DataError

from .binary import BinaryFile
from .fasttext import MAGIC, FastTextFile
from .text import MAX_LINE, TextFile, numbers_of, parse_header
from .vector_file import VectorFile

_TEXT = frozenset(b"0123456789.+-eEinfaINFA \t\r\n")
"""Bytes of the numbers of a line."""
_PROBE = 64
"""Bytes after the first word that tell text from binary numbers."""


def open_vectors(path: str | os.PathLike[str]) -> VectorFile:
    r"""Opens a file of word vectors.

    Args:
        path: text of GloVe, word2vec or fastText (`.vec`), binary file of word2vec, or model of fastText (`.bin`).
            All but the last one may be compressed.

    Raises:
        DataError: there is no such file, or its format is not known.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "vectors.txt")
        >>> _ = path.write_text("sea 0.5 1.0\nship 0.25 -1.0\n")
        >>> found = open_vectors(path).take(["ship"], most=0)
        >>> dict(found.rows), found.table.tolist()
        ({'ship': 0}, [[0.25, -1.0]])
    """
    place = Path(path)
    refuse_no_file(place, "word vector")
    with reading(place), open_binary(place) as file:
        line = file.readline(MAX_LINE)
        if line.startswith(MAGIC):
            return FastTextFile(place)
        second = file.readline(MAX_LINE)
    header = parse_header(line)
    if header is None:
        size = numbers_of(line)
        if not size:
            raise DataError(
                f"{place.name}, line 1: a word and the numbers of its vector are needed\n"
                "The formats are those of GloVe, word2vec (text and binary) and fastText (.vec and .bin)."
            )
        return TextFile(place, None, size)
    probe = second[second.find(b" ") + 1 :][:_PROBE]
    return TextFile(place, header, header[1]) if set(probe) <= _TEXT else BinaryFile(place, header)
