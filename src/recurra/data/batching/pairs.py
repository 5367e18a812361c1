"""Batches of pairs of texts, such as sentences and their translations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from recurra.data.columns.pairs import Pairs

from .batches import Batches
from .store import SequenceStore


class PairBatch(NamedTuple):
    """A `Batch` of pairs: targets are sequences, and reference translations may be given.

    Attributes:
        values: source tokens `(batch, time)`, 0 in the padding.
        lengths: tokens of each source `(batch,)`.
        targets: target tokens `(batch, time)`, `IGNORE` in the padding.
        weights: None.
        rows: rows of the pairs in the store, `(batch,)`.
        target_lengths: tokens of each target `(batch,)`.
        references: for one pair of each distinct source all known translations of this source; None for other pairs.
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
        references: for rows of the store, the known translations of their sources.
        **options: further arguments of `Batches`.

    Attributes:
        texts: the source text of each row of the store, for baselines that need texts.
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
    """Returns the different translations of each distinct source among some rows, keyed by its first row.

    Args:
        pairs: all pairs.
        groups: `pairs.groups()`.
        rows: the rows to use.
        most: maximum number of sources; None for all.
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
