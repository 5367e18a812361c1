"""Rows that are held out: how many, from which, and with which proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.split import hold_out, hold_out_groups, hold_out_stratified


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0, 0.99), st.integers(0, 2**32 - 1))
def test_a_share_of_the_known_rows(known, fraction, seed):
    mask = np.array(known)
    count = round(mask.sum() * fraction)
    for found in (hold_out(mask, fraction, seed), hold_out_stratified(mask, fraction, seed, None)):
        assert not (found & ~mask).any()
        assert found.sum() == (count if count < mask.sum() else 0)
    np.testing.assert_array_equal(hold_out(mask, fraction, seed), hold_out(mask, fraction, seed))


def test_the_draw_is_that_of_earlier_versions():
    found = hold_out(np.ones(10, bool), 0.3, 5)
    assert np.flatnonzero(found).tolist() == sorted(np.random.default_rng(5).permutation(10)[:3])


def test_groups_keep_their_proportions():
    strata = np.array(["a"] * 30 + ["b"] * 10)
    found = hold_out_stratified(np.ones(40, bool), 0.2, 3, strata)
    assert [(strata[found] == name).sum() for name in "ab"] == [6, 2]


@pytest.mark.parametrize("strata", [["a"] + ["b"] * 39, [str(i // 2) for i in range(40)]])
def test_groups_that_cannot_be_kept_are_ignored(strata):
    known = np.ones(40, bool)
    found = hold_out_stratified(known, 0.2, 3, np.array(strata))
    np.testing.assert_array_equal(found, hold_out_stratified(known, 0.2, 3, None))


def test_a_share_is_rounded_and_never_all_or_nothing():
    known = np.array([True, False, True, True, True])
    for draw in (hold_out, lambda *arguments: hold_out_stratified(*arguments, None)):
        assert [int(draw(known, share, 0).sum()) for share in (0.0, 0.12, 0.13, 0.5, 0.87, 0.88, 1.0)] == [
            0, 0, 1, 2, 3, 0, 0,
        ]  # fmt: skip
        assert not draw(known, 0.5, 0)[1]
        assert draw(known, 0.5, 0).dtype == bool


@pytest.mark.parametrize(
    ("strata", "share", "kept"),
    [
        ("aabb", 0.5, True),
        ("aabbcc", 1 / 3, False),
        ("aabbcc", 0.5, True),
        ("aabbcc", 2 / 3, False),
        ("aaab", 0.5, False),
    ],
)
def test_groups_are_kept_where_each_part_has_places_for_all(strata, share, kept):
    groups, known = np.array(list(strata)), np.ones(len(strata), bool)
    parted = [hold_out_stratified(known, share, seed, groups) for seed in range(12)]
    each_has_all = all(set(groups[m]) == set(groups[~m]) == set(groups) for m in parted)
    assert each_has_all is kept


def test_seeds_beyond_32_bits_are_cut():
    known = np.ones(20, bool)
    found = [hold_out_stratified(known, 0.5, seed, None) for seed in (3, 3 + 2**32, 4)]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


def test_whole_groups_are_drawn():
    assert hold_out_groups(np.zeros(0, np.int64), 0.5, 0).tolist() == []
    groups = np.array([0, 0, 1, 2, 3, 3])
    assert [len(set(groups[hold_out_groups(groups, share, 0)])) for share in (0.0, 0.12, 0.13, 0.5, 0.9, 1.0)] == [
        0, 0, 1, 2, 3, 3,
    ]  # fmt: skip
    found = hold_out_groups(groups, 0.5, 7)
    assert set(groups[found]) == set(np.random.default_rng(7).permutation(4)[:2])
