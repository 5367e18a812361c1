"""Word vectors as text: a word and its numbers in each line (GloVe, and the text formats of word2vec and fastText)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from recurra.data.files.packed import open_binary
from recurra.errors import DataError

from .vector_file import MAX_SIZE, Entry, VectorFile

MAX_LINE = 1 << 20
"""Most bytes of a line."""


class TextFile(VectorFile):
    """A text file. Its first line may have the number of words and the size of a vector.

    Args:
        path: the file; it may be compressed.
        header: words and size of the first line; None if there is no such line.
        size: numbers of a vector.

    Raises:
        DataError: the size is not possible.
    """

    def __init__(self, path: Path, header: tuple[int, int] | None, size: int) -> None:
        super().__init__(path)
        self.header, self.size = header, size
        if not 1 <= size <= MAX_SIZE:
            raise DataError(f"{path.name}, line 1: a vector has from 1 to {MAX_SIZE:,} numbers, not {size:,}")

    def entries(self) -> Iterator[Entry]:
        """See `VectorFile.entries`."""
        number = 0
        with open_binary(self.path) as file:
            while line := file.readline(MAX_LINE):
                number += 1
                if number == 1 and self.header:
                    continue
                if len(line) == MAX_LINE:
                    raise self.damaged(number, f"the line has {MAX_LINE:,} bytes or more")
                line = line.rstrip()
                if not line:
                    continue
                numbers = line.count(b" ")
                if numbers < self.size:
                    raise self.damaged(number, self._wrong_size(numbers))
                if numbers > self.size:
                    word = line.rsplit(b" ", self.size)[0]  # some words of GloVe have spaces
                    if _is_number(word.rsplit(b" ", 1)[-1]):
                        raise self.damaged(number, self._wrong_size(numbers))
                else:
                    word = line[: line.index(b" ")]
                yield Entry(number, word, line)
        words = number - 1
        if self.header and words < self.header[0]:
            raise self.damaged(
                number, f"the file ends after {words:,} of the {self.header[0]:,} words that its first line states"
            )

    def vector(self, entry: Entry) -> np.ndarray:
        """See `VectorFile.vector`."""
        line = entry.source
        assert isinstance(line, bytes)  # noqa: S101
        fields = line.rsplit(b" ", self.size)[1:]
        try:
            return np.array(fields, np.float32)
        except ValueError:
            bad = next(i for i, field in enumerate(fields) if not _is_number(field, anything=True))
            word = entry.word.decode("utf-8", "replace")
            shown = fields[bad].decode("utf-8", "replace")
            raise self.damaged(
                entry.place, f"number {bad + 1} of the vector of {word!r:.40} is {shown!r:.40}"
            ) from None

    def _wrong_size(self, numbers: int) -> str:
        source = "the first line states" if self.header else "the first line has"
        return f"the vector has {numbers:,} numbers, but {source} {self.size:,}"


def parse_header(line: bytes) -> tuple[int, int] | None:
    """Returns the number of words and the size of a vector; None if the line has something else.

    Example:
        >>> parse_header(b"400000 300"), parse_header(b"the 0.1 0.2")
        ((400000, 300), None)
    """
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return int(fields[0]), int(fields[1])
    return None


def numbers_of(line: bytes) -> int:
    """Returns how many numbers follow the word in a line.

    Example:
        >>> numbers_of(b"the 0.1 -2e-3")
        2
    """
    fields = line.split()[1:]
    return next((i for i, field in enumerate(reversed(fields)) if not _is_number(field, anything=True)), len(fields))


def _is_number(field: bytes, *, anything: bool = False) -> bool:
    """Returns whether a field is a number; without `anything` a whole number is a part of a word."""
    try:
        float(field)
    except ValueError:
        return False
    return anything or b"." in field
