"""Models of fastText: vectors of words, and of the parts of words, from which the vectors of other words are composed.

Bojanowski and others, "Enriching word vectors with subword information", 2017, https://aclanthology.org/Q17-1010.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np

from recurra.errors import DataError

from .vector_file import MAX_SIZE, Entry, VectorFile, Vectors

MAGIC = struct.pack("<i", 793_712_314)
VERSION = 12
HEADER = struct.Struct("<14id")
"""Magic number, version, twelve settings of the training, and the sampling threshold."""
COUNTS = struct.Struct("<iiiqq")
"""Entries, words and labels of the dictionary, tokens of the training data, and pruned parts."""
SHAPE = struct.Struct("<?qq")
"""Whether the matrix is compressed, its rows and its columns."""
MAX_WORD = 1 << 12
MAX_PART = 32
"""Longest part of a word that a model may use."""


class FastTextFile(VectorFile):
    """A model of fastText, `.bin`.

    Vectors are read by their position in the file, so that the memory does not depend on the size of the file.

    Args:
        path: the file, not compressed.

    Raises:
        DataError: the file is damaged, of another version, or compressed by quantization.
    """

    unit: ClassVar[str] = "word"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with path.open("rb") as file:
            header = HEADER.unpack(self._read(file, HEADER.size))
            version, self.size = header[1:3]
            self._buckets, self._shortest, self._longest = header[10:13]
            if version != VERSION:
                raise DataError(f"{path.name} is a fastText model of version {version}; only {VERSION} can be read")
            if not 1 <= self.size <= MAX_SIZE or self._buckets < 0 or not 0 <= self._longest <= MAX_PART:
                raise DataError(f"{path.name} is damaged: its header has impossible sizes")
            entries, self._words, labels, _, pruned = COUNTS.unpack(self._read(file, COUNTS.size))
            if min(entries, self._words, labels) < 0 or entries != self._words + labels:
                raise DataError(f"{path.name} is damaged: the sizes of its dictionary do not fit together")
            self._dictionary, self._entries = file.tell(), entries
            for _ in self._dictionary_words(file):
                pass
            file.seek(8 * max(pruned, 0), os.SEEK_CUR)
            compressed, rows, columns = SHAPE.unpack(self._read(file, SHAPE.size))
            if compressed:
                raise DataError(f"{path.name} is a compressed fastText model (.ftz); use the .bin or the .vec file")
            self._matrix, end = file.tell(), os.fstat(file.fileno()).st_size
        if columns != self.size or rows < self._words or (self._longest and rows < self._words + self._buckets):
            raise DataError(f"{path.name} is damaged: its matrix does not fit its dictionary")
        if end < self._matrix + 4 * rows * columns:
            raise DataError(f"{path.name} ends inside its matrix of {rows:,} vectors with {columns:,} numbers each")
        self._opened = -1

    def _take(self, wanted: Collection[str], most: int) -> Vectors:
        with self.path.open("rb", buffering=0) as file:
            self._opened = file.fileno()
            return super()._take(wanted, most)

    def entries(self) -> Iterator[Entry]:
        """See `VectorFile.entries`."""
        with self.path.open("rb") as file:
            file.seek(self._dictionary)
            for number, (word, kind) in enumerate(self._dictionary_words(file)):
                if kind == 0:
                    yield Entry(number + 1, word, number)

    def vector(self, entry: Entry) -> np.ndarray:
        """See `VectorFile.vector`. It is the mean of the vectors of the word and of its parts."""
        assert isinstance(entry.source, int)  # noqa: S101
        parts = [] if entry.word == b"</s>" else self._parts(entry.word)
        return self._mean([entry.source, *parts])

    def composed(self, word: str) -> np.ndarray | None:
        """See `VectorFile.composed`."""
        parts = self._parts(word.encode())
        return self._mean(parts) if parts else None

    def _mean(self, rows: list[int]) -> np.ndarray:
        size = 4 * self.size
        read = b"".join(os.pread(self._opened, size, self._matrix + row * size) for row in rows)
        return np.frombuffer(read, "<f4").reshape(len(rows), -1).mean(0, dtype=np.float32)

    def _parts(self, word: bytes) -> list[int]:
        """Returns the rows of the parts of a word: of its character sequences, with marks of begin and end."""
        if not self._longest or not self._buckets:
            return []
        signs = [sign.encode() for sign in f"<{word.decode('utf-8', 'replace')}>"]
        return [self._words + part % self._buckets for part in _hashes(signs, self._shortest, self._longest)]

    def _dictionary_words(self, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        """Yields each word and its kind: 0 a word, 1 a label."""
        rest, at = b"", 0
        for number in range(1, self._entries + 1):
            end = rest.find(b"\0", at)
            while end < 0 or len(rest) < end + 10:
                more = file.read(1 << 16)
                if not more or (end < 0 and len(rest) - at > MAX_WORD):
                    raise self.damaged(number, f"it is damaged; the dictionary should have {self._entries:,} words")
                rest, at = rest[at:] + more, 0
                end = rest.find(b"\0")
            yield rest[at:end], rest[end + 9]
            at = end + 10
        file.seek(at - len(rest), os.SEEK_CUR)

    def _read(self, file: BinaryIO, count: int) -> bytes:
        found = file.read(count)
        if len(found) < count:
            raise DataError(f"{self.path.name} is damaged: it ends after {file.tell():,} bytes")
        return found


def _hashes(signs: list[bytes], shortest: int, longest: int) -> Iterator[int]:
    """Yields the hash (FNV-1a, with signed bytes as in fastText) of each part of a word.

    Args:
        signs: the characters, with the marks of begin and end.
        shortest: fewest characters of a part.
        longest: most characters.
    """
    last = len(signs) - 1
    for begin in range(len(signs)):
        value = 2_166_136_261
        for end in range(begin, min(begin + longest, len(signs))):
            for byte in signs[end]:
                value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16_777_619) & 0xFFFFFFFF
            mark = end == begin and (begin == 0 or end == last)  # a mark alone is no part
            if end - begin + 1 >= shortest and not mark:
                yield value
