"""The memory-mapped store, and batches drawn from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.batching import batches as module
from recurra.data.batching.batches import IGNORE, Batch, Batches, Shuffled, pad, to_device
from recurra.data.batching.store import BLOCK_ROWS, SequenceStore


def sequences(lengths: list[int], features: int | None = None) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    if features is None:
        return [random.integers(0, 99, n).astype(np.int32) for n in lengths]
    return [random.normal(size=(n, features)).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("features", [None, 1, 3])
@pytest.mark.parametrize("on_disk", [True, False])
def test_store_gives_back_what_was_put_in(tmp_path, features, on_disk):
    rows = sequences([3, 0, 5, 1] * (BLOCK_ROWS // 3), features)
    chunks = [rows[:10], rows[10:7000], rows[7000:]]
    store = SequenceStore.build(chunks, tmp_path / "s.arrow" if on_disk else None)
    assert len(store) == len(rows)
    assert store.lengths.tolist() == [len(row) for row in rows]
    for i, found in zip([0, 1, BLOCK_ROWS, len(rows) - 1], store.take([0, 1, BLOCK_ROWS, len(rows) - 1]), strict=True):
        assert found.shape == rows[i].shape
        np.testing.assert_array_equal(found, rows[i])
    assert [p.name for p in tmp_path.iterdir()] == (["s.arrow"] if on_disk else [])


def test_store_on_disk_is_mapped_not_read(tmp_path):
    SequenceStore.build([sequences([1000] * 100)], tmp_path / "s.arrow")
    import pyarrow as pa

    before = pa.total_allocated_bytes()
    store = SequenceStore(tmp_path / "s.arrow")
    assert store.take([99])[0].shape == (1000,)
    assert pa.total_allocated_bytes() - before < 10_000


def test_an_interrupted_build_leaves_no_store(tmp_path):
    def chunks():
        yield sequences([2, 3] * BLOCK_ROWS)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        SequenceStore.build(chunks(), tmp_path / "s.arrow")
    assert not (tmp_path / "s.arrow").exists()


def test_fingerprint_follows_the_content():
    rows = sequences([3, 2, 4])
    same = SequenceStore.build([rows[:1], rows[1:]]).fingerprint()
    assert SequenceStore.build([rows]).fingerprint() == same
    assert SequenceStore.build([[rows[1], rows[0], rows[2]]]).fingerprint() != same


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    batch_size=st.integers(1, 9),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_row_comes_once_an_epoch(lengths, batch_size, shuffle, seed):
    store = SequenceStore.build([sequences(lengths)])
    batches = Batches(store, batch_size=batch_size, shuffle=shuffle, seed=seed)
    for _ in range(2):
        found = list(batches)
        assert len(found) == len(batches)
        assert sorted(int(r) for b in found for r in b.rows) == list(range(len(lengths)))
        for batch in found:
            assert len(batch.rows) <= batch_size
            for values, length, row in zip(batch.values, batch.lengths, batch.rows, strict=True):
                np.testing.assert_array_equal(values[:length], store.take([int(row)])[0])
                assert not values[length:].any()


def test_order_follows_seed_and_epoch():
    store = SequenceStore.build([sequences([5] * 100)])

    def rows(seed, epoch):
        return [r.tolist() for r in Batches(store, batch_size=8, shuffle=True, seed=seed).plan(epoch)]

    assert rows(1, 0) == rows(1, 0)
    assert rows(1, 0) != rows(1, 1)
    assert rows(1, 0) != rows(2, 0)


@pytest.mark.parametrize("step", [0, 1, 6, 7, 8, 20])
def test_seek_goes_on_where_iteration_stood(step):
    store = SequenceStore.build([sequences([4, 2, 9] * 18)])
    whole, sought = (Batches(store, batch_size=8, shuffle=True, seed=3) for _ in range(2))
    expected = [b.rows.tolist() for _ in range(4) for b in whole]
    sought.seek(step)
    found = [b.rows.tolist() for _ in range(4) for b in sought]
    assert found[: len(expected) - step] == expected[step:]


def test_batches_of_similar_length_waste_little():
    random = np.random.default_rng(0)
    store = SequenceStore.build([sequences(random.geometric(0.05, 5000).tolist())])
    waste = sum(b.values.numel() for b in Batches(store, batch_size=64, shuffle=True)) - store.lengths.sum()
    anyhow = random.permutation(5000 // 64 * 64).reshape(-1, 64)
    waste_anyhow = sum(64 * store.lengths[rows].max() for rows in anyhow) - store.lengths[anyhow].sum()
    assert waste < 0.1 * waste_anyhow


@pytest.mark.parametrize("max_padded_tokens", [None, 1000], ids=["for all", "for this one"])
def test_very_long_sequences_come_in_small_batches(monkeypatch, max_padded_tokens):
    monkeypatch.setattr(module, "MAX_PADDED_TOKENS", 10**9 if max_padded_tokens else 1000)
    store = SequenceStore.build([sequences([10] * 50 + [400] * 5 + [3000])])
    batches = Batches(store, batch_size=32, shuffle=True, max_padded_tokens=max_padded_tokens)
    found = list(batches)
    assert len(found) == len(batches)
    assert max(b.values.numel() for b in found if b.values.shape[1] < 3000) <= 1000
    assert [b.values.shape for b in found if b.values.shape[1] == 3000] == [(1, 3000)]


def test_targets_and_weights_travel_with_their_rows():
    store = SequenceStore.build([sequences([3, 1, 2])])
    targets, weights = torch.tensor([30, 10, 20]), torch.tensor([3.0, 1.0, 2.0])
    for batch in Batches(store, np.array([0, 2]), targets, weights, batch_size=1):
        assert batch.targets is not None
        assert batch.weights is not None
        assert batch.targets.tolist() == [10 * n for n in batch.lengths.tolist()]
        assert batch.weights.tolist() == batch.lengths.tolist()


def test_pad_of_empty_sequences():
    assert pad([np.zeros((0, 2), np.float32)] * 3).shape == (3, 0, 2)


def test_targets_that_are_sequences_are_padded_with_ignore():
    store = SequenceStore.build([[np.arange(n, dtype=np.int32) for n in (3, 0, 2)]])
    labels = SequenceStore.build([[np.arange(n, dtype=np.int64) + 5 for n in (1, 4, 2)]])
    batch = next(iter(Batches(store, targets=labels, batch_size=3)))
    for row, lengths, target in zip(batch.rows, batch.target_lengths, batch.targets, strict=True):
        assert int(lengths) == [1, 4, 2][int(row)]
        assert target.tolist() == [*range(5, 5 + int(lengths)), *[IGNORE] * (4 - int(lengths))]
    other = SequenceStore.build([[np.arange(n, dtype=np.int64) + 6 for n in (1, 4, 2)]])
    assert (
        Batches(store, targets=other, batch_size=3).fingerprint()
        != Batches(store, targets=labels, batch_size=3).fingerprint()
    )


def test_shuffled_moves_steps_within_each_sequence_and_aligned_targets_with_them():
    store = SequenceStore.build([[np.arange(1, n + 1, dtype=np.int64) for n in (30, 0, 20)]])
    source = Batches(store, targets=store, batch_size=3)
    batch, (plain,) = next(iter(Shuffled(source, aligned=True))), list(source)
    assert not torch.equal(batch.values, plain.values)
    assert torch.equal(batch.values.sort(1).values, plain.values.sort(1).values)
    for row, length in zip(batch.values, batch.lengths, strict=True):
        assert sorted(row[:length].tolist()) == list(range(1, int(length) + 1))
    assert torch.equal(batch.values[batch.targets != IGNORE], batch.targets[batch.targets != IGNORE])
    unmoved = next(iter(Shuffled(source)))
    assert torch.equal(unmoved.targets, plain.targets)


def test_a_batch_moves_to_a_device_but_for_its_lengths():
    batch = Batch(torch.zeros(1, 2), torch.tensor([2]), torch.tensor([[1]]), None, torch.tensor([0]))
    moved = to_device(batch, torch.device("meta"))
    for name, value in moved._asdict().items():
        assert value is None if getattr(batch, name) is None else value.is_meta != (name == "lengths")
    assert torch.equal(moved.lengths, batch.lengths)
    assert to_device(batch, torch.device("cpu")) is batch


def test_an_epoch_of_many_batches_ends():
    store = SequenceStore.build([sequences([1] * 400)], None)
    for batches in (Batches(store, batch_size=1), Batches(store, batch_size=1, shuffle=True)):
        assert sum(len(batch.values) for batch in batches) == len(batches) == 400
