"""Batches of pieces: every row once in a pass, any step again, one order for each seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.data.batching.batches import Batches
from recurra.data.pieces import pools
from recurra.data.pieces.pools import PoolBatches, TokenPool
from recurra.data.pieces.shards import Shard, ShardStore

PIECES, ROWS = 13, 37


def encode(piece: int) -> Shard:
    """Every row has another target, and its tokens are the target."""
    random = np.random.default_rng(piece)
    lengths = random.integers(0, 30, ROWS).astype(np.int32)
    if piece == 2:
        lengths[5] = 90  # in smaller batches
    targets = piece * ROWS + np.arange(ROWS)
    return Shard(np.repeat(targets, lengths).astype(np.uint16), lengths, targets, np.arange(ROWS))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "POOL_PIECES", 4)
    monkeypatch.setattr("recurra.data.batching.batches.MAX_PADDED_TOKENS", 400)


def make(folder: Path, seed: int = 0, **options) -> PoolBatches:
    sample = Batches.of_list([np.array([1])], batch_size=1)
    return PoolBatches(
        ShardStore(folder, encode), PIECES, PIECES * ROWS, "hash", sample, batch_size=8, seed=seed, **options
    )


def content(batch) -> tuple:
    return batch.values.tolist(), batch.lengths.tolist(), batch.targets.tolist()


def test_a_pass_has_every_row_once(tmp_path: Path) -> None:
    batches = make(tmp_path)
    assert len(batches) == -(-PIECES * ROWS // 8)
    found: list[int] = []
    for _ in range(3):
        for batch in batches:
            for row, length, target in zip(*content(batch), strict=True):
                assert row == [target] * length + [0] * (len(row) - length)
            found += batch.targets.tolist()
    assert batches.position == 3 * len(batches)
    first, second = found[: PIECES * ROWS], found[PIECES * ROWS : 2 * PIECES * ROWS]
    assert sorted(first) == sorted(second) == list(range(PIECES * ROWS))
    assert first != second
    pieces = {target // ROWS for target in first[: 4 * ROWS]}
    assert len(pieces) == 4  # a pool
    batches.close()


def test_any_step_can_be_repeated(tmp_path: Path) -> None:
    batches = make(tmp_path / "a")
    epochs = [[content(batch) for batch in batches] for _ in range(3)]
    steps = [batch for epoch in epochs for batch in epoch]
    assert all(len(epoch) == len(batches) for epoch in epochs)
    batches.close()
    for step in (0, 1, 17, len(batches), len(batches) + 30, 2 * len(batches) + 5):
        again = make(tmp_path / "b")  # first with pieces that are not encoded yet
        again.seek(step)
        rest = [content(batch) for batch in again]
        assert rest == steps[step : (step // len(batches) + 1) * len(batches)]
        again.close()
    other = make(tmp_path / "a", seed=1)
    assert content(next(iter(other))) != steps[0]
    assert other.fingerprint() == "hash"
    other.close()


def test_an_epoch_may_be_left_early(tmp_path: Path) -> None:
    batches = make(tmp_path)
    stream = iter(batches)
    some = [content(next(stream)) for _ in range(5)]
    batches.seek(3)
    assert content(next(iter(batches))) == some[3]
    batches.close()


def test_weights_follow_the_targets(tmp_path: Path) -> None:
    batches = make(tmp_path, weights=lambda targets: targets / 2)
    batch = next(iter(batches))
    assert batch.weights is not None
    assert (batch.weights * 2).tolist() == batch.targets.tolist()
    batches.close()


def test_token_pool() -> None:
    pool = TokenPool(np.array([7, 8, 9], np.uint16), np.array([2, 0, 1], np.int32))
    found = pool.take([2, 1, 0])
    assert [row.tolist() for row in found] == [[9], [], [7, 8]]
    assert {row.dtype for row in found} == {np.dtype(np.int32)}
    with pytest.raises(NotImplementedError):
        pool.fingerprint()
