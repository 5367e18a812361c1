"""Batches of pairs, references, splits without leakage."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.pairs import PairBatches, references_of
from recurra.data.batching.split import hold_out_groups
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.pairs import as_pairs, source_groups


@given(
    st.lists(st.sampled_from(["a", "b ", " b", "c", "d", "가", "e"]), min_size=1), st.floats(0, 0.9), st.integers(0, 9)
)
def test_a_split_never_parts_a_source(sources, share, seed):
    groups = source_groups(sources)
    apart = hold_out_groups(groups, share, seed)
    distinct = {s.strip() for s in sources}
    assert {s.strip() for s, x in zip(sources, apart, strict=True) if x}.isdisjoint(
        s.strip() for s, x in zip(sources, apart, strict=True) if not x
    )
    assert len(set(groups[apart])) == min(round(share * len(distinct)), len(distinct) - 1)
    np.testing.assert_array_equal(apart, hold_out_groups(groups, share, seed))


def test_references_are_those_of_the_source():
    pairs = as_pairs(["a", "b", "a", "a", "c"], ["1", "2", "3", "1", "4"])
    groups, rows = pairs.groups(), np.array([0, 1, 2, 3])
    assert references_of(pairs, groups, rows) == {0: ["1", "3"], 1: ["2"]}
    assert references_of(pairs, groups, rows, most=1) == {0: ["1", "3"]}


def test_batches_carry_targets_and_references():
    sources = SequenceStore.build([[np.array([5, 6], np.int32), np.array([7], np.int32)]])
    targets = SequenceStore.build([[np.array([8], np.int32), np.array([9, 9, 9], np.int32)]])
    batches = PairBatches(sources, np.arange(2), targets, {1: ["x"]}, batch_size=4)
    (batch,) = batches
    assert batch.rows.tolist() == [1, 0]  # the shorter source first
    assert batch.references == (["x"], None)
    assert batch.targets.tolist() == [[9, 9, 9], [8, IGNORE, IGNORE]]
    assert batch.target_lengths.tolist() == [3, 1]


def test_long_targets_come_in_smaller_batches():
    rows = 4
    sources = SequenceStore.build([[np.ones(1, np.int32)] * rows])
    targets = SequenceStore.build([[np.ones(100_000, np.int32)] * rows])
    assert len(PairBatches(sources, np.arange(rows), targets, {}, batch_size=4)) == 2
