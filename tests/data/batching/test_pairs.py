"""Pairs: cleaning, splits without leakage, references, files whose lines pair up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.pairs import PairBatches, as_pairs, hold_out, parallel, references_of, source_groups
from recurra.data.batching.store import SequenceStore
from recurra.errors import DataError


@given(
    st.lists(st.sampled_from(["a", "b ", " b", "c", "d", "가", "e"]), min_size=1), st.floats(0, 0.9), st.integers(0, 9)
)
def test_a_split_never_parts_a_source(sources, share, seed):
    groups = source_groups(sources)
    apart = hold_out(groups, share, seed)
    distinct = {s.strip() for s in sources}
    assert {s.strip() for s, x in zip(sources, apart, strict=True) if x}.isdisjoint(
        s.strip() for s, x in zip(sources, apart, strict=True) if not x
    )
    assert len(set(groups[apart])) == min(round(share * len(distinct)), len(distinct) - 1)
    np.testing.assert_array_equal(apart, hold_out(groups, share, seed))


def test_composed_and_single_letters_are_the_same_source():
    assert source_groups(["가", "\u1100\u1161"]).tolist() == [0, 0]


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


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_parallel_files(tmp_path, encoding, ends):
    english, korean = ["Hi.", "", "Bye. \u00b1", '"Quoted, tab\there'], ["안녕.", "빈 줄", "잘 가.", "인용"]
    (tmp_path / "a.en").write_bytes(ends.join([*english, ""]).encode(encoding))
    (tmp_path / "a.ko").write_bytes(ends.join(korean).encode(encoding))  # without an end of the last line
    sources, targets, said = parallel(tmp_path / "a.en", tmp_path / "a.ko", encoding if "16" not in encoding else None)
    assert (sources, targets) == (english, korean)
    assert "4 lines" in said
    assert as_pairs(sources, targets).left_out == 1


def test_unequal_files(tmp_path):
    (tmp_path / "a.en").write_text("1\n2\n3\n")
    (tmp_path / "a.ko").write_text("1\n2\n")
    with pytest.raises(DataError, match=r"a\.en has 3 lines but a\.ko has 2 lines"):
        parallel(tmp_path / "a.en", tmp_path / "a.ko")
    with pytest.raises(DataError, match=r"no file .*b\.ko"):
        parallel(tmp_path / "a.en", tmp_path / "b.ko")
