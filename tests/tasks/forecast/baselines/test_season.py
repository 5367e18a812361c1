"""Seasons of series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.tasks.forecast.baselines.season import find_season, steady_cycles


@settings(max_examples=30)
@given(st.integers(3, 40), st.integers(0, 1000))
def test_season_is_found_in_noise(season, seed):
    random = np.random.default_rng(seed)
    y = np.tile(np.arange(float(season)), 10) + random.normal(scale=0.1, size=10 * season)
    assert find_season([y[:, None]], 3 * season) == season


@given(st.integers(0, 1000))
def test_season_of_a_smooth_wave_in_noise(seed):
    y = 10 * np.sin(2 * np.pi * np.arange(420) / 24) + np.random.default_rng(seed).normal(size=420)
    assert find_season([y[:, None]], 140) % 24 in (0, 1, 23)


def test_series_without_a_season_hardly_ever_get_one():
    random = np.random.default_rng(0)
    found = []
    for count in [100, 400, 2000] * 20:
        noise = random.normal(size=(count, 1))
        slow = np.zeros((count, 1))
        for i in range(1, count):
            slow[i] = 0.9 * slow[i - 1] + noise[i]
        found += [find_season([one], count // 3, 12) for one in (noise, slow, np.cumsum(noise, 0))]
    assert sum(season > 1 for season in found) <= 1


@pytest.mark.parametrize(("season", "count"), [(12, 96), (52, 300), (365, 1500)])
def test_a_yearly_season_is_found_below_noise(season, count):
    """The waves of months, weeks and days move less from step to step than the noise does."""
    random = np.random.default_rng(season)
    y = 1.5 * np.sin(2 * np.pi * np.arange(count) / season) + random.normal(size=count) + 0.01 * np.arange(count)
    assert find_season([y[:, None]], count // 3, 12) == season


def test_a_week_in_a_year_leaves_both():
    days, random = np.arange(1500), np.random.default_rng(0)
    y = random.normal(size=7)[days % 7] + 3 * np.sin(2 * np.pi * days / 365) + 0.5 * random.normal(size=1500)
    assert steady_cycles([y[:, None]], 500) == [7, 365]
    assert find_season([y[:, None]], 500, 28) == 7


def test_a_multiple_of_the_season_is_not_taken():
    y = np.tile(np.random.default_rng(1).normal(size=12), 30)[:, None] + np.random.default_rng(2).normal(size=(360, 1))
    assert find_season([y], 120, 6) == 12


def test_series_too_short_for_three_cycles_have_no_season():
    assert find_season([np.sin(np.arange(9.0))[:, None]], 3) == 1
    assert find_season([np.zeros((50, 2))], 16) == 1
