"""Bands, with values that are worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.tasks.forecast.intervals import most_windows, nested, shifts


@pytest.mark.parametrize(
    ("levels", "found", "expected"),
    [
        ([0.5], [5, 7], [5, 7]),
        ([0.5], [5, 3], [5, 3]),
        ([0.5, 0.9], [5, 6, 7], [5, 5, 7]),  # the median is the lower end
        ([0.5, 0.9], [9, 6, 7], [9, 6, 9]),
        ([0.1, 0.5], [3, 4, 6], [3, 3, 6]),  # and the upper one
        ([0.1, 0.5], [9, 4, 6], [9, 4, 9]),
        ([0.1, 0.5, 0.9], [1, 6, 7, 8], [1, 1, 7, 8]),  # the median within is left
        ([0.1, 0.5, 0.9], [9, 6, 7, 8], [9, 6, 7, 9]),
        ([0.1, 0.2], [3, 4, 6], [3, 3, 3]),  # all are below the median
        ([0.1, 0.2], [5, 4, 6], [5, 4, 5]),
        ([0.8, 0.9], [5, 4, 6], [5, 5, 6]),
        ([0.1], [5, 6], [5, 5]),
        ([0.9], [5, 4], [5, 5]),
        ([0.1, 0.5, 0.9], [5, 8, 7, 6], [5, 5, 7, 8]),  # sorted first
        ([], [5], [5]),
    ],
)
def test_intervals_hold_the_point_forecast(levels, found, expected):
    assert nested(torch.tensor([found], dtype=torch.float64), levels).tolist() == [expected]


@pytest.mark.parametrize(
    ("sizes", "most"),
    [((1, 1, 1), 20_000_000), ((10, 2, 5), 200_000), ((7, 3, 1), 952_380), ((1000, 100, 2), 100), ((1000, 199, 1), 100),
     ((1000, 100, 9), 100), ((0, 1, 1), 20_000_000), ((1, 0, 1), 20_000_000)],
)  # fmt: skip
def test_windows_within_the_memory_limit_and_at_least_100(sizes, most):
    assert most_windows(*sizes) == most


@pytest.mark.parametrize("windows", [1, 2, 3, 7, 33, 34, 49, 50, 99, 100, 101])
def test_neighbours_are_taken_until_there_are_100_errors(windows):
    """Every error of a step is its number, so that a shift shows which steps were taken."""
    horizon = 250
    errors = torch.arange(float(horizon)).view(1, horizon, 1, 1).expand(windows, horizon, 1, 1)
    reach = next(n for n in range(100) if windows * (2 * n + 1) >= 100)
    low, high = (shifts(errors, [level]).flatten().tolist() for level in (0.0001, 0.9999))
    assert low == [max(0, step - reach) for step in range(horizon)]
    assert high == [min(horizon - 1, step + reach) for step in range(horizon)]


def test_ranks_are_those_of_each_level_at_once():
    errors = torch.arange(1.0, 200.0).view(199, 1, 1, 1).expand(199, 1, 1, 7)
    levels = [0.0, 0.001, 0.2501, 0.5, 0.5001, 0.9, 1.0]
    ranks = [1, 1, 50, 100, 101, 180, 199]
    assert shifts(errors, levels).flatten().tolist() == ranks
    errors = torch.where(torch.arange(199).view(199, 1, 1, 1) < 99, errors, math.nan)
    assert shifts(errors, levels).flatten().tolist() == [1, 1, 25, 50, 51, 90, 99]
