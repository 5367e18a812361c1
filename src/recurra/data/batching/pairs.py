"""Pairs of texts, such as sentences and their translations: cleaned, grouped by source, in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
from torch import Tensor

from recurra._util.messages import counted
from recurra.data.columns.inputs import Texts, as_sequences
from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.encoding import encoding_name, find_encoding, open_text
from recurra.errors import DataError

from .batches import Batches
from .store import SequenceStore


@dataclass(frozen=True)
class Pairs:
    """Pairs with two sides.

    Attributes:
        sources: texts, without space at the ends.
        targets: one for each source.
        left_out: pairs left out because a side was empty.
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
    """A number for each text, the same for equal texts, counted from 0 in order of appearance.

    Example:
        >>> source_groups(["Hi.", "Go!", "Hi. "]).tolist()
        [0, 1, 0]
    """
    known: dict[str, int] = {}
    numbers = (known.setdefault(normalize("NFC", source.strip()), len(known)) for source in sources)
    return np.fromiter(numbers, np.int64, len(sources))


def as_pairs(X: Any, y: Any) -> Pairs:
    """Brings sources and targets together; pairs with an empty side are left out and counted.

    Args:
        X: texts: a list, array, pandas or Arrow column.
        y: as many texts.

    Raises:
        DataError: the sides are of unequal length, hold no texts, or nothing is left.

    Example:
        >>> pairs = as_pairs(["Hi.", "Go!", "Hi."], ["안녕.", "", "반가워."])
        >>> pairs.sources, pairs.left_out, pairs.groups().tolist()
        (['Hi.', 'Hi.'], 1, [0, 0])
    """
    if y is None:
        raise DataError("translations are missing: hand over y, one text for each source text")
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


def hold_out(groups: np.ndarray, share: float, seed: int) -> np.ndarray:
    """True for the pairs of a random share of the distinct sources, so that no source stands on both sides.

    Args:
        groups: number of each pair's source, from 0 without gaps, `(pairs,)`.
        share: of the sources; there is one of them at least on the side that is not held out.
        seed: of the choice.

    Example:
        >>> hold_out(np.array([0, 0, 1, 2]), 0.4, seed=0).tolist()
        [False, False, False, True]
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[: min(round(count * share), count - 1)]] = True
    return chosen[groups]


class PairBatch(NamedTuple):
    """A `Batch` whose targets are sequences, with the texts to compare translations with.

    Attributes:
        values: source tokens `(batch, time)`, 0 beyond each length.
        lengths: tokens of each source `(batch,)`.
        targets: target tokens `(batch, time)`, `IGNORE` beyond each length.
        weights: None.
        rows: where the pairs stand in the store, `(batch,)`.
        target_lengths: tokens of each target `(batch,)`.
        references: all known translations of the source, for one pair of each distinct source; None for the others.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor
    weights: None
    rows: Tensor
    target_lengths: Tensor
    references: tuple[list[str] | None, ...]


class PairBatches(Batches):
    """Batches of pairs.

    Args:
        store: source tokens.
        rows: as in `Batches`.
        targets: target tokens.
        references: by row of the store: the known translations of its source.
        **options: further arguments of `Batches`.

    Attributes:
        texts: one source for each row of the store, where simple models need them.
    """

    texts: Sequence[str] = ()

    def __init__(
        self,
        store: SequenceStore,
        rows: np.ndarray,
        targets: SequenceStore,
        references: Mapping[int, list[str]],
        **options: Any,
    ) -> None:
        super().__init__(store, rows, targets, **options)
        self.references = references

    def _batch(self, rows: np.ndarray) -> Any:
        return PairBatch(*super()._batch(rows), references=tuple(self.references.get(int(row)) for row in rows))  # type: ignore[arg-type]


def references_of(pairs: Pairs, groups: np.ndarray, rows: np.ndarray, most: int | None = None) -> dict[int, list[str]]:
    """The different translations of each distinct source among some rows, under the first of its rows.

    Args:
        pairs: all pairs.
        groups: `pairs.groups()`.
        rows: which of them.
        most: greatest number of sources; all of them when None.
    """
    first: dict[int, int] = {}
    found: dict[int, list[str]] = {}
    for row in rows.tolist():
        group = int(groups[row])
        if group not in first:
            if most is not None and len(first) == most:
                continue
            first[group], found[row] = row, []
        known = found[first[group]]
        if pairs.targets[row] not in known:
            known.append(pairs.targets[row])
    return found


def read_lines(path: Path, encoding: str | None = None) -> tuple[list[str], str]:
    """Reads a file of one text a line, as the two files of a parallel corpus are; blank lines count.

    Args:
        path: the file, plain or compressed.
        encoding: found out when None.

    Returns:
        The lines, and one line for a person that says what was found.

    Raises:
        DataError: it cannot be read.
    """
    refuse_no_file(path, "line")
    encoding = find_encoding(path, encoding)
    with reading(path), open_text(path, encoding) as file:
        text = file.read()
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines, f"{path.name}: {counted(len(lines), 'line')}, {encoding_name(encoding)}"


def parallel(path: Path, other: Path, encoding: str | None = None) -> tuple[Sequence[str], Sequence[str], str]:
    """Reads two files whose lines pair up: source texts, target texts and what was found.

    Raises:
        DataError: they have not equally many lines.
    """
    sources, said = read_lines(path, encoding)
    targets, also = read_lines(other, encoding)
    if len(sources) != len(targets):
        raise DataError(
            f"{path.name} has {counted(len(sources), 'line')} but {other.name} has {counted(len(targets), 'line')}\n"
            "Line by line they must be translations of each other: add or remove lines so that they pair up."
        )
    return sources, targets, f"{said}; {also}"
