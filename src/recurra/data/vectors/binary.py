"""Word vectors in the binary format of word2vec: a line with both sizes, then words and 32-bit numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np

from recurra.data.files.packed import open_binary
from recurra.errors import DataError

from .vector_file import MAX_SIZE, Entry, VectorFile

BLOCK = 1 << 20
"""Bytes that are read at a time."""
MAX_WORD = 1 << 12
"""Most bytes of a word."""


class BinaryFile(VectorFile):
    """A binary file of word2vec.

    Args:
        path: the file; it may be compressed.
        header: number of words, and size of a vector.

    Raises:
        DataError: the size is not possible.
    """

    unit: ClassVar[str] = "word"

    def __init__(self, path: Path, header: tuple[int, int]) -> None:
        super().__init__(path)
        self.words, self.size = header
        if not 1 <= self.size <= MAX_SIZE:
            raise DataError(f"{path.name}: a vector has from 1 to {MAX_SIZE:,} numbers, not {self.size:,}")

    def entries(self) -> Iterator[Entry]:
        """See `VectorFile.entries`."""
        with open_binary(self.path) as file:
            file.readline()
            bytes_ = _Bytes(file)
            for number in range(1, self.words + 1):
                word = bytes_.until_space()
                if word is None:
                    raise self.damaged(number, f"it has no end within {MAX_WORD:,} bytes; {self._stated()}")
                values = bytes_.next(4 * self.size)
                if len(values) < 4 * self.size:
                    raise self.damaged(number, f"the file ends inside its vector; {self._stated()}")
                yield Entry(number, word.lstrip(b"\n"), values)

    def vector(self, entry: Entry) -> np.ndarray:
        """See `VectorFile.vector`."""
        assert isinstance(entry.source, bytes)  # noqa: S101
        return np.frombuffer(entry.source, "<f4").astype(np.float32)

    def _stated(self) -> str:
        return f"the first line states {self.words:,} words with {self.size:,} numbers each"


class _Bytes:
    """Reads bytes of a file in blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._block, self._at = file, b"", 0

    def until_space(self) -> bytes | None:
        """Returns the bytes before the next space, and skips it; None if there is none."""
        end = self._block.find(b" ", self._at, self._at + MAX_WORD)
        if end < 0:
            self._fill(MAX_WORD)
            end = self._block.find(b" ", self._at, self._at + MAX_WORD)
            if end < 0:
                return None
        found, self._at = self._block[self._at : end], end + 1
        return found

    def next(self, count: int) -> bytes:
        """Returns the next bytes; fewer at the end of the file."""
        if len(self._block) - self._at < count:
            self._fill(count)
        found = self._block[self._at : self._at + count]
        self._at += len(found)
        return found

    def _fill(self, least: int) -> None:
        parts, known = [self._block[self._at :]], len(self._block) - self._at
        while known < least and (more := self._file.read(BLOCK)):
            parts.append(more)
            known += len(more)
        self._block, self._at = b"".join(parts), 0
