"""Rows that are held out: how many, from which, and with which proportions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.batching.split import hold_out, hold_out_stratified


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
