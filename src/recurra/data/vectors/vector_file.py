"""What the files of word vectors share: which words are kept, and in which form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from recurra.data.files.access import reading
from recurra.errors import DataError

MAX_SIZE = 1 << 14
"""Largest size of a vector; a damaged file cannot request all memory with it."""
HEAD = 1000
"""Words at the begin of a file that show whether it distinguishes upper and lower case."""


class Vectors(NamedTuple):
    """Vectors of some words.

    Attributes:
        rows: row of each word in the table, in the order of the file.
        table: vectors `(words, size)`.
    """

    rows: Mapping[str, int]
    table: np.ndarray

    def row_of(self, word: str) -> int | None:
        """Returns the row of a word, else that of the word in lower case; None if both are missing."""
        return self.rows.get(word, self.rows.get(word.lower()))


class Entry(NamedTuple):
    """A word of a file, whose vector is read only if it is needed.

    Attributes:
        place: number of its line or of its vector, counted from 1.
        word: the word as UTF-8.
        source: what `VectorFile.vector` needs.
    """

    place: int
    word: bytes
    source: object


class VectorFile:
    """A file of word vectors. It is read from its begin to its end, and only the vectors of some words are kept.

    Args:
        path: the file.

    Attributes:
        size: numbers of a vector.
    """

    unit: ClassVar[str] = "line"
    """What places in messages count."""
    size: int

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Iterator[Entry]:
        """Yields all words in the order of the file.

        Raises:
            DataError: the file is damaged.
        """
        raise NotImplementedError

    def vector(self, entry: Entry) -> np.ndarray:
        """Returns the vector of an entry that `entries` has just yielded, `(size,)`.

        Raises:
            DataError: it is damaged.
        """
        raise NotImplementedError

    def composed(self, word: str) -> np.ndarray | None:
        """Returns a vector made of parts of a word, `(size,)`; None if the file has no parts or knows none of them."""
        return None

    def has_case(self) -> bool:
        """Returns whether a word at the begin of the file has an upper-case letter."""
        with reading(self.path):
            words = [entry.word.decode("utf-8", "replace") for entry in islice(self.entries(), HEAD)]
        return any(word != word.lower() for word in words)

    def take(self, wanted: Collection[str], most: int) -> Vectors:
        """Reads the vectors of wanted words and of the first words of the file, which usually are the most frequent.

        A wanted word without a vector gets that of the word in lower case. If there is none either, and the file has
        vectors for parts of words, its vector is composed.

        Args:
            wanted: words to look for.
            most: number of words at the begin of the file to read in addition.

        Raises:
            DataError: the file is damaged.
        """
        with reading(self.path), np.errstate(over="ignore", invalid="ignore"):  # what is not finite is an error
            return self._take(wanted, most)

    def _take(self, wanted: Collection[str], most: int) -> Vectors:
        needed = {form.encode() for word in wanted for form in (word, word.lower())}
        rows: dict[str, int] = {}
        table = _Table(self.size)
        for number, entry in enumerate(self.entries()):
            if number >= most and entry.word not in needed:
                continue
            word, vector = entry.word.decode("utf-8", "replace"), self.vector(entry)
            if not np.isfinite(vector).all():
                raise self.damaged(entry.place, f"the vector of {word!r:.40} has a number that is not finite")
            if rows.setdefault(word, len(rows)) == table.rows:  # of a word that is there twice, the first one counts
                table.add(vector)
        for word in sorted(wanted):
            if word in rows or word.lower() in rows:
                continue
            made = self.composed(word)
            if made is not None and np.isfinite(made).all():
                rows[word] = len(rows)
                table.add(made)
        if not rows:
            raise DataError(f"{self.path.name} has no word vectors")
        return Vectors(rows, table.values[: table.rows])

    def damaged(self, place: int, what: str) -> DataError:
        """Returns the error for a place of the file."""
        return DataError(f"{self.path.name}, {self.unit} {place:,}: {what}")


class _Table:
    """A table that grows. Vectors in a list would need twice the memory at the end."""

    def __init__(self, size: int) -> None:
        self.values, self.rows = np.empty((1024, size), np.float32), 0

    def add(self, vector: np.ndarray) -> None:
        if self.rows == len(self.values):
            self.values.resize((self.rows + self.rows // 4, len(vector)), refcheck=False)
        self.values[self.rows] = vector
        self.rows += 1
