"""Batches of similar length from a store, in a seeded order that can be resumed at any batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from .store import SequenceList, SequenceStore

POOL_BATCHES = 50  # batches sorted by length together: more give less padding, fewer give a more random order
IGNORE = -100  # target of a step without a loss, the default `ignore_index` of torch's cross entropy
# default of the maximum number of padded steps in a batch; batches of very long sequences are smaller
MAX_PADDED_TOKENS = 1 << 18


class Batch(NamedTuple):
    """A batch of padded sequences.

    Attributes:
        values: token numbers `(batch, time)` or features `(batch, time, features)`, 0 in the padding.
        lengths: steps of each sequence `(batch,)`.
        targets: values to predict, `(batch, …)`, or None.
        weights: weight of each sequence in the loss `(batch,)`, or None.
        rows: rows of the sequences in the store, `(batch,)`.
        target_lengths: steps of each target `(batch,)` if the targets are sequences `(batch, time)`, padded with
            `IGNORE`; else None.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor | None
    weights: Tensor | None
    rows: Tensor
    target_lengths: Tensor | None = None


class BatchSource(Protocol):
    """The interface of data for training and evaluation: passes of batches that can be resumed at any batch.

    A batch is a named tuple with at least `values` and `lengths`.
    """

    @property
    def count(self) -> int:
        """Number of items (sequences, windows, …) in a pass."""
        ...

    def __len__(self) -> int:
        """Number of batches in a pass."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Yields the batches of a pass, or the rest of them."""
        ...

    def seek(self, step: int) -> None:
        """Moves to the position after `step` batches since the beginning of the first epoch."""
        ...

    def fingerprint(self) -> str:
        """Hash of all content. Sources with equal hashes train equal models."""
        ...


class Batches:
    """An iterable of `Batch`, one pass per epoch.

    With `shuffle`, the order depends only on the seed and the number of the epoch, so `seek` can resume training at
    any step.

    Args:
        store: the sequences.
        rows: rows of the store to use, in this order unless `shuffle`; None for all.
        targets: one per row of the store; a second store if targets are sequences.
        weights: one per row of the store.
        batch_size: sequences in a batch; fewer if they are very long.
        shuffle: True to draw a new order in each epoch.
        seed: seed of that order.
        max_padded_tokens: maximum number of padded steps in a batch of several sequences; by default
            `MAX_PADDED_TOKENS`.
        passes: passes over the rows in one epoch.
    """

    def __init__(
        self,
        store: SequenceStore | SequenceList,
        rows: np.ndarray | None = None,
        targets: Tensor | SequenceStore | None = None,
        weights: Tensor | None = None,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        max_padded_tokens: int | None = None,
        passes: int = 1,
    ) -> None:
        self.passes = passes
        self.store, self.targets, self.weights = store, targets, weights
        self.rows = np.arange(len(store)) if rows is None else rows
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.epoch = self.position = 0
        lengths = np.maximum(store.lengths[self.rows], 1)
        if isinstance(targets, SequenceStore):
            lengths = np.maximum(lengths, targets.lengths[self.rows])
        self._capacity = capacities(lengths, batch_size, max_padded_tokens)
        self._count = passes * batch_count(self._capacity)

    @classmethod
    def of_list(cls, sequences: Sequence[np.ndarray], rows: np.ndarray | None = None, **options: Any) -> Self:
        """Creates batches of sequences in memory, for predictions. They have no fingerprint."""
        return cls(SequenceList(sequences), rows, **options)

    def __len__(self) -> int:
        return self._count

    @property
    def count(self) -> int:
        """Number of sequences in a pass."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        # The caller may not request the end of the pass, so the next pass advances the epoch.
        if self.position >= len(self):
            self.epoch, self.position = self.epoch + 1, 0
        plan = self.plan(self.epoch)
        while self.position < len(plan):
            rows = plan[self.position]
            self.position += 1
            yield self._batch(rows)

    def seek(self, step: int) -> None:
        """Moves to the position after `step` batches since the beginning of the first epoch."""
        self.epoch, self.position = divmod(step, len(self))

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Returns the rows of every batch of an epoch."""
        return [rows for number in range(self.passes) for rows in self._pass(epoch * self.passes + number)]

    def _pass(self, number: int) -> list[np.ndarray]:
        lengths = self.store.lengths
        random = np.random.default_rng((self.seed, number))
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

    def whole(self) -> Batch:
        """Returns all sequences as one batch, in the order of the rows."""
        return self._batch(self.rows)

    def fingerprint(self) -> str:
        """Hash of the sequences, their targets and weights, and the rows that are used."""
        digest = hashlib.blake2b(self.store.fingerprint().encode(), digest_size=16)
        digest.update(self.rows.astype(np.int64).tobytes())
        for column in (self.targets, self.weights):
            if isinstance(column, SequenceStore):
                digest.update(column.fingerprint().encode())
            elif column is not None:
                digest.update(column.numpy().tobytes())
        return digest.hexdigest()

    def _batch(self, rows: np.ndarray) -> Batch:
        sequences = self.store.take(rows)
        lengths = torch.from_numpy(self.store.lengths[rows].astype(np.int64))
        index = torch.from_numpy(rows.astype(np.int64))
        targets, target_lengths = self.targets, None
        if isinstance(targets, SequenceStore):
            target_lengths = torch.from_numpy(targets.lengths[rows].astype(np.int64))
            targets = pad(targets.take(rows), IGNORE)
        elif targets is not None:
            targets = targets[index]
        weights = None if self.weights is None else self.weights[index]
        return Batch(pad(sequences), lengths, targets, weights, index, target_lengths)


def capacities(lengths: np.ndarray, batch_size: int, max_padded_tokens: int | None = None) -> np.ndarray:
    """Returns the greatest number of sequences in the batch of each sequence, `(sequences,)`.

    Args:
        lengths: steps of each sequence, at least 1.
        batch_size: see `Batches`.
        max_padded_tokens: see `Batches`.
    """
    found = np.clip((max_padded_tokens or MAX_PADDED_TOKENS) // lengths, 1, batch_size)
    # Capacities are the batch size divided by powers of 2. This gives few groups, and the same number per epoch.
    halvings = np.ceil(np.log2(batch_size / found))
    return np.maximum(batch_size // 2 ** halvings.astype(np.int64), 1)


def batch_count(capacity: np.ndarray) -> int:
    """Returns the number of batches of sequences with these capacities."""
    return sum(-(-int((capacity == c).sum()) // int(c)) for c in np.unique(capacity))


def batches_of(sequences: Sequence[np.ndarray], *, batch_size: int) -> Iterable[Batch]:
    """Returns batches of sequences in memory, for predictions. A few sequences are one batch, in their order.

    Args:
        sequences: arrays, all `(time,)` or all `(time, features)`, of one type.
        batch_size: maximum number of sequences in a batch.

    Example:
        >>> [batch.lengths.tolist() for batch in batches_of([np.array([1, 2, 3]), np.array([4])], batch_size=8)]
        [[3, 1]]
    """
    lengths = [len(sequence) for sequence in sequences]
    if len(lengths) > batch_size or len(lengths) * max(lengths, default=0) > MAX_PADDED_TOKENS or not lengths:
        return Batches.of_list(sequences, batch_size=batch_size)
    rows = torch.arange(len(lengths))
    return [Batch(pad(sequences), torch.tensor(lengths, dtype=torch.int64), None, None, rows)]


class Shuffled:
    """The batches of a source with the steps of every sequence in random order, for the order test.

    Args:
        source: source of batches with `values` and `lengths`, and with `targets` if `aligned`.
        aligned: True if every step has a target, which moves with it.
        seed: seed of the order.
    """

    def __init__(self, source: BatchSource, *, aligned: bool = False, seed: int = 0) -> None:
        self.source, self.aligned, self.seed = source, aligned, seed

    def __len__(self) -> int:
        return len(self.source)

    @property
    def count(self) -> int:
        """Number of items in a pass."""
        return self.source.count

    def __iter__(self) -> Iterator[Any]:
        random = np.random.default_rng(self.seed)
        for batch in self.source:
            order = torch.arange(batch.values.shape[1]).repeat(len(batch.values), 1)
            for row, steps in zip(order, batch.lengths.tolist(), strict=True):
                row[:steps] = torch.from_numpy(random.permutation(steps))
            moved = {"values": _take_steps(batch.values, order)}
            if self.aligned:
                moved["targets"] = _take_steps(batch.targets, order)
            yield batch._replace(**moved)

    def seek(self, step: int) -> None:
        """Not implemented: the order test always starts at the beginning."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Hash of the content and of the order."""
        return f"{self.source.fingerprint()} shuffled {self.seed}"


def _take_steps(values: Tensor, order: Tensor) -> Tensor:
    return values[torch.arange(len(values)).unsqueeze(1), order]


def to_device(batch: Any, device: torch.device) -> Any:
    """Moves a named tuple of tensors (or None) to a device. Lengths stay on the CPU, because Python code reads them.

    Example:
        >>> batch = Batch(torch.zeros(1, 2), torch.tensor([2]), None, None, torch.tensor([0]))
        >>> to_device(batch, torch.device("cpu")).values.shape
        torch.Size([1, 2])
    """
    if device.type == "cpu":
        return batch
    moved = {
        name: value.to(device)
        for name, value in batch._asdict().items()
        if isinstance(value, Tensor) and "lengths" not in name
    }
    return batch._replace(**moved)


def pad(sequences: Sequence[np.ndarray], fill: float = 0) -> Tensor:
    """Stacks arrays `(time, …)` of unequal length into one tensor `(batch, time, …)`, padded with `fill`.

    Example:
        >>> import numpy as np
        >>> pad([np.array([1, 2], np.int32), np.array([3], np.int32)]).tolist()
        [[1, 2], [3, 0]]
    """
    first = sequences[0]
    steps = max(len(s) for s in sequences)
    padded = np.full((len(sequences), steps, *first.shape[1:]), fill, first.dtype)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)
