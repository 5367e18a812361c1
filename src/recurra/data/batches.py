"""Batches of similar length from a store, in a seeded order that can be taken up again in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .store import SequenceStore

POOL_BATCHES = 50  # batches sorted by length together: enough for little padding, few enough to stay random
MAX_CELLS = 1 << 18  # padded steps of one batch; very long sequences come in smaller batches


class Batch(NamedTuple):
    """Sequences side by side.

    Attributes:
        values: token numbers `(batch, time)` or features `(batch, time, features)`, 0 beyond each length.
        lengths: steps of each sequence `(batch,)`.
        targets: what is to be predicted, `(batch, …)`, or None.
        weights: weight of each sequence in the loss `(batch,)`, or None.
        rows: where the sequences stand in the store, `(batch,)`.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor | None
    weights: Tensor | None
    rows: Tensor


class Batches:
    """An iterable of `Batch`, one pass an epoch.

    With `shuffle`, the order depends on the seed and the number of the epoch alone, so that `seek` can take
    training up again at any step.

    Args:
        store: the sequences.
        rows: which of them, in this order where nothing is shuffled; all when None.
        targets: one per row of the store.
        weights: one per row of the store.
        batch_size: sequences in a batch; fewer where they are very long.
        shuffle: whether to draw a new order each epoch.
        seed: seed of that order.
    """

    def __init__(
        self,
        store: SequenceStore,
        rows: np.ndarray | None = None,
        targets: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.store, self.targets, self.weights = store, targets, weights
        self.rows = np.arange(len(store)) if rows is None else rows
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.epoch = self.position = 0
        lengths = np.maximum(store.lengths[self.rows], 1)
        self._capacity = np.clip(MAX_CELLS // lengths, 1, batch_size)
        # capacities are halvings of the batch size, so that few groups arise and their number is the same each epoch
        halvings = np.ceil(np.log2(batch_size / self._capacity))
        self._capacity = np.maximum(batch_size // 2 ** halvings.astype(np.int64), 1)
        self._count = sum(-(-int((self._capacity == c).sum()) // int(c)) for c in np.unique(self._capacity))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        # whoever counts the batches may never ask past the last one: the epoch ends when the next one begins
        if self.position >= len(self):
            self.epoch, self.position = self.epoch + 1, 0
        plan = self.plan(self.epoch)
        while self.position < len(plan):
            rows = plan[self.position]
            self.position += 1
            yield self._batch(rows)

    def seek(self, step: int) -> None:
        """Goes to where iteration stands after `step` batches since the beginning of the first epoch."""
        self.epoch, self.position = divmod(step, len(self))

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The rows of every batch of an epoch."""
        lengths = self.store.lengths
        random = np.random.default_rng((self.seed, epoch))
        plan: list[np.ndarray] = []
        for capacity in np.unique(self._capacity):
            rows = self.rows[self._capacity == capacity]
            pool = len(rows)
            if self.shuffle:
                rows, pool = random.permutation(rows), int(capacity) * POOL_BATCHES
            for start in range(0, len(rows), pool):
                part = rows[start : start + pool]
                part = part[np.argsort(lengths[part], kind="stable")]
                plan += [part[i : i + capacity] for i in range(0, len(part), capacity)]
        if self.shuffle:
            random.shuffle(plan)  # type: ignore[arg-type]
        return plan

    def _batch(self, rows: np.ndarray) -> Batch:
        sequences = self.store.take(rows)
        lengths = torch.from_numpy(self.store.lengths[rows].astype(np.int64))
        index = torch.from_numpy(rows.astype(np.int64))
        return Batch(
            pad(sequences),
            lengths,
            None if self.targets is None else self.targets[index],
            None if self.weights is None else self.weights[index],
            index,
        )


def pad(sequences: list[np.ndarray]) -> Tensor:
    """Stacks arrays `(time, …)` of unequal length into one tensor `(batch, time, …)` filled up with 0.

    Example:
        >>> import numpy as np
        >>> pad([np.array([1, 2], np.int32), np.array([3], np.int32)]).tolist()
        [[1, 2], [3, 0]]
    """
    first = sequences[0]
    steps = max(len(s) for s in sequences)
    padded = np.zeros((len(sequences), steps, *first.shape[1:]), first.dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)
