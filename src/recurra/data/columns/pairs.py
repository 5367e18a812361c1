"""Pairs of texts, such as sentences and their translations, from two columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

import numpy as np

from recurra.errors import DataError

from .inputs import Texts, as_sequences


@dataclass(frozen=True)
class Pairs:
    """Pairs of a source and a target text.

    Attributes:
        sources: source texts, stripped of white space.
        targets: the target text of each source.
        left_out: number of pairs that were left out because a side was empty.
    """

    sources: list[str]
    targets: list[str]
    left_out: int

    def __len__(self) -> int:
        return len(self.sources)

    def groups(self) -> np.ndarray:
        """See `source_groups`."""
        return source_groups(self.sources)


def source_groups(sources: Sequence[str]) -> np.ndarray:
    """Numbers texts from 0 in order of appearance; equal texts have the same number.

    Example:
        >>> source_groups(["Hi.", "Go!", "Hi. "]).tolist()
        [0, 1, 0]
    """
    known: dict[str, int] = {}
    numbers = (known.setdefault(normalize("NFC", source.strip()), len(known)) for source in sources)
    return np.fromiter(numbers, np.int64, len(sources))


def as_pairs(X: Any, y: Any) -> Pairs:
    """Pairs sources with targets. Pairs with an empty side are left out and counted.

    Args:
        X: source texts: a list, array, pandas or Arrow column.
        y: target texts, one for each source.

    Raises:
        DataError: the sides have unequal lengths, are not texts, or every pair has an empty side.

    Example:
        >>> pairs = as_pairs(["Hi.", "Go!", "Hi."], ["안녕.", "", "반가워."])
        >>> pairs.sources, pairs.left_out, pairs.groups().tolist()
        (['Hi.', 'Hi.'], 1, [0, 0])
    """
    if y is None:
        raise DataError("translations are missing: pass y, one text for each source text")
    sides = []
    for name, texts in (("X", X), ("y", y)):
        found = as_sequences(texts)
        if not isinstance(found, Texts):
            raise DataError(f"{name} holds numbers; translation needs a text on each side")
        sides.append([text.strip() for chunk in found.chunks() for text in chunk])
    if len(sides[0]) != len(sides[1]):
        raise DataError(f"X has {len(sides[0]):,} texts but y has {len(sides[1]):,}; they must pair up")
    kept = [(source, target) for source, target in zip(*sides, strict=True) if source and target]
    if not kept:
        raise DataError("every pair has an empty side: there is nothing to learn or to measure")
    return Pairs([s for s, _ in kept], [t for _, t in kept], len(sides[0]) - len(kept))
