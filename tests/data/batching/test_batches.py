"""The memory-mapped store, and batches drawn from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.batching import batches as module
from recurra.data.batching.batches import IGNORE, Batch, Batches, Shuffled, batches_of, pad, to_device
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


@settings(max_examples=25)
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


def test_a_store_of_any_block_size_holds_the_same(monkeypatch):
    from recurra.data.batching import store as stores

    rows = sequences([3, 0, 5, 1, 2, 4, 7])
    assert BLOCK_ROWS == 4096
    for size in (1, 3, 7, 8):
        monkeypatch.setattr(stores, "BLOCK_ROWS", size)
        store = SequenceStore.build([rows[:2], rows[2:6], rows[6:]])
        assert len(store._blocks) == -(-7 // size)
        assert store.lengths.tolist() == [3, 0, 5, 1, 2, 4, 7]
        for found, row in zip(store.take([6, 0, 5, 1]), (rows[6], rows[0], rows[5], rows[1]), strict=True):
            assert (found.tolist(), found.dtype) == (row.tolist(), np.int32)


def test_an_empty_store():
    store = SequenceStore.build([])
    assert (len(store), store.lengths.tolist(), store.take([]), store.features, store.flat) == (0, [], [], 1, False)
    assert SequenceStore.build([[]]).fingerprint() == store.fingerprint()


def test_stores_of_steps_and_of_features_differ():
    flat = SequenceStore.build([[np.arange(4.0)]])
    one, two = (SequenceStore.build([[np.arange(4.0).reshape(-1, n)]]) for n in (1, 2))
    assert [(s.features, s.flat, s.lengths.tolist()) for s in (flat, one, two)] == [
        (1, True, [4]),
        (1, False, [4]),
        (2, False, [2]),
    ]
    assert len({s.fingerprint() for s in (flat, one, two)}) == 3


def test_batches_of_a_list_have_no_fingerprint():
    rows = [np.arange(n) for n in (3, 1, 2)]
    found = Batches.of_list(rows, np.array([0, 2]), batch_size=1)
    assert [b.rows.tolist() for b in found] == [[2], [0]]
    assert (found.count, len(found), found.targets, found.weights) == (2, 2, None, None)
    with pytest.raises(NotImplementedError):
        found.fingerprint()


def test_the_order_without_a_shuffle_is_that_of_the_lengths():
    found = Batches.of_list([np.arange(n) for n in (3, 1, 2, 1)], batch_size=2)
    assert [b.rows.tolist() for b in found] == [[1, 3], [2, 0]]
    assert found.whole().rows.tolist() == [0, 1, 2, 3]
    assert found.whole().lengths.tolist() == [3, 1, 2, 1]
    assert [b.rows.tolist() for b in found] == [[1, 3], [2, 0]]  # a second pass
    assert (found.shuffle, found.seed, found.epoch) == (False, 0, 1)


def test_an_epoch_is_the_number_of_passes():
    found = Batches.of_list([np.arange(2)] * 5, batch_size=2, shuffle=True)
    assert (found.epoch, found.position, len(found)) == (0, 0, 3)
    list(found)
    assert (found.epoch, found.position) == (0, 3)
    next(iter(found))
    assert (found.epoch, found.position) == (1, 1)
    found.seek(7)
    assert (found.epoch, found.position) == (2, 1)


@pytest.mark.parametrize(
    ("lengths", "size", "limit", "sizes"),
    [
        ([10] * 4, 4, 40, [4]),
        ([10] * 4, 4, 39, [2, 2]),
        ([10] * 4, 4, 19, [1] * 4),
        ([10] * 4, 4, 1, [1] * 4),
        ([0] * 4, 4, 4, [4]),
        ([0] * 4, 4, 3, [2, 2]),
        ([10] * 6, 6, 30, [3, 3]),
        ([10] * 6, 6, 29, [1] * 6),
    ],
)
def test_batches_are_halved_until_they_fit(lengths, size, limit, sizes):
    found = Batches.of_list([np.arange(n) for n in lengths], batch_size=size, max_padded_tokens=limit)
    assert [len(b.rows) for b in found] == sizes
    assert len(found) == len(sizes)


def test_long_targets_make_small_batches():
    store = SequenceStore.build([[np.arange(1)] * 4])
    targets = SequenceStore.build([[np.arange(n) for n in (10, 1, 1, 1)]])
    found = Batches(store, targets=targets, batch_size=4, max_padded_tokens=10)
    assert sorted(len(b.rows) for b in found) == [1, 3]
    assert module.MAX_PADDED_TOKENS == 1 << 18


def test_pools_keep_batches_random(monkeypatch):
    lengths = list(range(1, 41))
    store = SequenceStore.build([sequences(lengths)])
    assert (module.POOL_BATCHES, module.IGNORE) == (50, -100)
    monkeypatch.setattr(module, "POOL_BATCHES", 2)
    plan = Batches(store, batch_size=4, shuffle=True).plan(0)
    random = np.random.default_rng((0, 0))
    order = random.permutation(np.arange(40))
    wanted = [part for i in range(0, 40, 8) for part in np.split(np.sort(order[i : i + 8]), 2)]
    random.shuffle(wanted)
    assert [rows.tolist() for rows in plan] == [rows.tolist() for rows in wanted]


def test_fingerprints_know_rows_targets_and_weights():
    store = SequenceStore.build([sequences([2, 2])])
    rows = np.array([0, 1])
    found = [
        Batches(store, batch_size=1),
        Batches(store, rows[::-1], batch_size=1),
        Batches(store, rows, torch.tensor([1, 2]), batch_size=1),
        Batches(store, rows, torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), batch_size=1),
        Batches(store, rows, None, torch.tensor([1.0, 2.0]), batch_size=1),
    ]
    assert len({batches.fingerprint() for batches in found}) == 5
    assert Batches(store, rows, batch_size=2, shuffle=True, seed=3).fingerprint() == found[0].fingerprint()


def test_shuffled_is_another_source():
    source = Batches(SequenceStore.build([sequences([30, 20])]), batch_size=1)
    one, other = Shuffled(source), Shuffled(source, seed=1)
    assert (len(one), one.count, one.seed, one.aligned) == (2, 2, 0, False)
    assert one.fingerprint() != other.fingerprint() != source.fingerprint()
    assert [b.values.tolist() for b in one] == [b.values.tolist() for b in one]
    assert [b.values.tolist() for b in one] != [b.values.tolist() for b in other]
    with pytest.raises(NotImplementedError):
        one.seek(0)


def test_pad_fills_up_in_the_type_of_the_first():
    found = pad([np.array([[1.0, 2.0]], np.float32), np.zeros((2, 2), np.float32)], -1)
    assert (found.dtype, found.tolist()) == (torch.float32, [[[1, 2], [-1, -1]], [[0, 0], [0, 0]]])


def test_a_few_sequences_are_one_batch_in_their_order():
    rows = sequences([3, 0, 5, 1])
    (batch,) = batches_of(rows, batch_size=4)
    assert batch.rows.tolist() == [0, 1, 2, 3]
    assert batch.lengths.tolist() == [3, 0, 5, 1]
    torch.testing.assert_close(batch.values, pad(rows))
    assert list(batches_of([], batch_size=4)) == []


@pytest.mark.parametrize("limit", [1 << 18, 10])
def test_many_or_long_sequences_are_several_batches(monkeypatch, limit):
    monkeypatch.setattr(module, "MAX_PADDED_TOKENS", limit)
    rows = sequences([3, 0, 5, 1] * (3 if limit > 10 else 1))
    found = list(batches_of(rows, batch_size=4))
    assert len(found) > 1
    assert all(batch.values.shape[0] <= 4 and batch.values.numel() <= limit for batch in found)
    given = {
        row: value[:n].tolist()
        for b in found
        for row, value, n in zip(b.rows.tolist(), b.values, b.lengths, strict=True)
    }
    assert given == {i: row.tolist() for i, row in enumerate(rows)}
