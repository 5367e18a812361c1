"""Batches of pieces in random order: some pieces are in memory together, and their rows are shuffled."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from recurra.data.batching.batches import Batch, Batches, batch_count, capacities
from recurra.data.batching.store import SequenceList

from .shards import Shard, ShardStore

POOL_PIECES = 8
"""Pieces in memory together. Their rows are shuffled; more give a more random order and need more memory."""


class PoolBatches:
    """An iterable of `Batch` over encoded pieces, see `recurra.data.batching.batches.BatchSource`.

    In each pass over the data, the pieces are in a new random order. `POOL_PIECES` of them form a pool, whose rows are
    shuffled and divided into batches of similar length, as `Batches` does with all rows. An epoch is a fixed number of
    batches: the number of rows divided by the batch size. The last batches of pools are smaller, so a pass over all
    pieces has slightly more batches, and the next epoch begins with the last batches of a pass.

    Args:
        shards: the encoded pieces.
        pieces: number of pieces.
        count: number of rows in all pieces.
        identity: hash of the data and of their encoding.
        sample: batches of some rows in memory, for the baselines.
        batch_size: sequences in a batch; fewer if they are very long.
        seed: seed of the order.
        weights: returns the weights of targets; None for none.
    """

    def __init__(
        self,
        shards: ShardStore,
        pieces: int,
        count: int,
        identity: str,
        sample: Batches,
        *,
        batch_size: int,
        seed: int,
        weights: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.sample, self.batch_size, self.seed = sample, batch_size, seed
        self.position = 0
        self._shards, self._pieces, self._count, self._identity = shards, pieces, count, identity
        self._weights = weights
        self._pools = -(-pieces // POOL_PIECES)
        self._starts = [0]  # batches before each pool of the endless sequence, as far as it is known
        self._loaded: tuple[int, Batches] | None = None

    @property
    def count(self) -> int:
        """Number of sequences in an epoch."""
        return self._count

    def __len__(self) -> int:
        return max(math.ceil(self._count / self.batch_size), 1)

    def __iter__(self) -> Iterator[Batch]:
        end = (self.position // len(self) + 1) * len(self)
        while self.position < end:
            number, before = self._find(self.position)
            pool = self._load(number)
            self._shards.prefetch(self._members(number + 1))
            pool.seek(self.position - before)
            for batch in itertools.islice(pool, end - self.position):
                self.position += 1
                yield batch

    def seek(self, step: int) -> None:
        """Moves to the position after `step` batches since the beginning of the first epoch."""
        self.position = step

    def fingerprint(self) -> str:
        """Hash of the data and of their encoding, without reading the data."""
        return self._identity

    def close(self) -> None:
        """Ends the threads that encode pieces."""
        self._shards.close()

    def _members(self, pool: int) -> list[int]:
        """Returns the pieces of a pool of the endless sequence."""
        number, at = divmod(pool, self._pools)
        order = np.random.default_rng((self.seed, number)).permutation(self._pieces)
        return order[at * POOL_PIECES : (at + 1) * POOL_PIECES].tolist()

    def _find(self, step: int) -> tuple[int, int]:
        """Returns the pool of a step, and the number of batches before it."""
        while self._starts[-1] <= step:
            lengths = [self._shards.lengths(piece) for piece in self._members(len(self._starts) - 1)]
            capacity = capacities(np.maximum(np.concatenate(lengths), 1), self.batch_size)
            self._starts.append(self._starts[-1] + batch_count(capacity))
        pool = int(np.searchsorted(self._starts, step, "right")) - 1
        return pool, self._starts[pool]

    def _load(self, pool: int) -> Batches:
        """Returns the batches of a pool."""
        if self._loaded is None or self._loaded[0] != pool:
            self._loaded = None  # frees the memory before the next pool is read
            pieces = self._members(pool)
            self._shards.prefetch(pieces)
            self._loaded = pool, self._batches(pool, [self._shards.load(piece) for piece in pieces])
        return self._loaded[1]

    def _batches(self, pool: int, shards: list[Shard]) -> Batches:
        targets = np.concatenate([shard.targets for shard in shards])
        weights = None if self._weights is None else torch.from_numpy(self._weights(targets).astype(np.float32))
        return Batches(
            TokenPool(np.concatenate([s.values for s in shards]), np.concatenate([s.lengths for s in shards])),
            targets=torch.from_numpy(targets),
            weights=weights,
            batch_size=self.batch_size,
            shuffle=True,
            seed=int(np.random.SeedSequence((self.seed, pool)).generate_state(1)[0]),
        )


class TokenPool(SequenceList):
    """Token sequences in memory, one after the other, read by row like those of a `SequenceStore`.

    Args:
        values: tokens of all sequences, of any integer type.
        lengths: tokens of each sequence.
    """

    def __init__(self, values: np.ndarray, lengths: np.ndarray) -> None:
        self._values, self.lengths = values, lengths.astype(np.int64)
        self._ends = np.cumsum(self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: Iterable[int]) -> list[np.ndarray]:
        """Returns the sequences of some rows."""
        ends, lengths = self._ends, self.lengths
        return [self._values[ends[row] - lengths[row] : ends[row]].astype(np.int32) for row in rows]
