"""Moments and standardized values do not depend on the unit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.columns.scaling import FARTHEST, ROUNDING, Moments, moments_of, standardize
from recurra.data.encoders.series import SeriesEncoder
from recurra.errors import DataError

numbers = st.floats(-1e6, 1e6, allow_subnormal=False) | st.just(math.nan)


def exact(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation, in exact arithmetic but for the root."""
    known = [Fraction(v) for v in values if not math.isnan(v)]
    mean, peak = sum(known) / len(known), max(map(abs, known)) or Fraction(1)
    return float(mean), float(peak) * math.sqrt(sum(((v - mean) / peak) ** 2 for v in known) / len(known))


@given(st.lists(st.lists(numbers, max_size=5), min_size=1, max_size=4))
def test_moments_of_several_arrays_are_those_of_exact_arithmetic(parts):
    values = [v for part in parts for v in part]
    moments = Moments(1)
    for part in parts:
        moments.add(np.array(part).reshape(-1, 1))
    assert moments.count[0] == sum(not math.isnan(v) for v in values)
    if moments.count[0]:
        mean, deviation = exact(values)
        peak = max(abs(v) for v in values if not math.isnan(v))
        assert moments.mean[0] == pytest.approx(mean, rel=1e-14, abs=1e-15 * peak)
        assert moments.deviation[0] == pytest.approx(deviation, rel=1e-9, abs=1e-13 * peak)


@pytest.mark.parametrize("exponent", [-1000, -100, -30, 30, 100, 1000])
def test_a_power_of_two_as_unit_changes_no_bit(exponent):
    values = np.random.default_rng(0).normal(3, 2, (50, 3))
    parts = [values[:7], values[7:7], values[7:]]
    found = []
    for unit in (1.0, 2.0**exponent):
        moments = Moments(3)
        for part in parts:
            moments.add(part * unit)
        np.testing.assert_array_equal(moments.mean, found[0][0] * unit if found else moments.mean)
        found.append((moments.mean, standardize(values * unit, moments.mean, moments.deviation, "x")))
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e-12, 1e12, 1e30, 1e300])
def test_any_unit(unit):
    values = np.random.default_rng(0).normal(3, 2, (50, 3))
    plain, scaled = moments_of(values), moments_of(values * unit)
    np.testing.assert_allclose(scaled.mean, plain.mean * unit, rtol=1e-14)
    np.testing.assert_allclose(scaled.deviation, plain.deviation * unit, rtol=1e-14)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("parts", [1, 10])
def test_a_small_deviation_beside_a_large_mean(offset, parts):
    noise = np.random.default_rng(0).normal(0, 1e-3, (1000, 1))
    values = noise + offset
    moments = Moments(1)
    for part in np.array_split(values, parts):
        moments.add(part)
    held = values - offset  # exact: what of the noise survived the addition
    assert moments.deviation[0] == pytest.approx(held.std(), rel=1e-8)
    scaled = standardize(values, moments.mean, moments.deviation, "x")
    np.testing.assert_allclose(scaled, (held - held.mean()) / held.std(), atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.0, 1e-30, 1e30])
def test_constants_are_found_exactly(constant):
    moments = moments_of(np.full((1001, 1), constant))
    assert (moments.mean[0], moments.deviation[0]) == (constant, 0.0)
    assert moments.target_scale()[0] == (abs(constant) or 1.0)
    assert moments.target_scale(5.0)[0] == (abs(constant) or 5.0)


def test_rounding_is_no_variation():
    values = np.full((100, 1), 0.3)
    values[::2] = 0.1 + 0.2  # one unit in the last place more
    assert moments_of(values).deviation[0] == 0.0


def test_missing_columns():
    moments = moments_of(np.array([[np.nan, 1.0], [np.nan, 3.0]]))
    assert (moments.mean.tolist(), moments.deviation.tolist()) == ([0.0, 2.0], [0.0, 1.0])
    assert moments.count.tolist() == [0, 2]
    assert moments_of(np.zeros((0, 2))).deviation.tolist() == [0.0, 0.0]


def test_what_was_constant_becomes_0():
    found = standardize(np.array([[5.0, 1.0], [9.0, np.nan]]), np.array([5.0, 1.0]), np.array([0.0, 2.0]), "x")
    np.testing.assert_array_equal(found, [[0.0, 0.0], [0.0, np.nan]])


def test_values_in_another_unit_are_refused():
    encoder = SeriesEncoder(1).fit([[np.array([[1e-30], [3e-30]])]])
    with pytest.raises(DataError, match=r"sequence 1, step 2, column 0: 2 is 2e\+30 standard deviations .* same unit"):
        encoder.encode([np.array([[2e-30]]), np.array([[1e-30], [1e-30], [2.0]])])


@pytest.mark.parametrize("exponent", [-100, -30, 30, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encoded_series_are_equal_in_any_unit(exponent, dtype):
    random = np.random.default_rng(0)
    rows = [random.normal(1, 2, (n, 2)).astype(dtype) for n in (3, 9, 5)]
    scaled = [row * dtype(2.0**exponent) for row in rows]
    found = [SeriesEncoder(2).fit([some]).encode(some) for some in (rows, scaled)]
    for plain, other in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, other)


def test_the_limits_are_those_of_float64_and_float32():
    assert (ROUNDING, FARTHEST) == (1e-14, 1e18)
    one = np.array([0.0])
    for value, refused in ((1e18, False), (-1e18, False), (1.0000001e18, True), (-1.0000001e18, True)):
        if refused:
            with pytest.raises(
                DataError, match=r"x, step 1, column 0: -?1e\+18 is 1e\+18 standard deviations from the mean"
            ):
                standardize(np.array([[0.0], [value]]), one, one + 1, "x")
        else:
            assert standardize(np.array([[value]]), one, one + 1, "x").tolist() == [[value]]


def test_a_deviation_above_rounding_counts():
    for share, varies in ((0.5e-14, False), (4e-14, True)):
        values = 1.0 + np.array([[0.0], [2 * share]])
        assert bool(moments_of(values).deviation[0]) is varies


def test_scales_of_predicted_columns():
    moments = moments_of(np.array([[1.0, -5.0, 0.0, np.nan], [3.0, -5.0, 0.0, np.nan]]))
    assert moments.target_scale().tolist() == [1.0, 5.0, 1.0, 1.0]
    assert moments.target_scale(np.array([7.0, 7.0, 2.0, 3.0])).tolist() == [1.0, 5.0, 2.0, 3.0]
    assert moments.count.dtype == np.int64


def test_values_of_single_precision_are_added_in_double():
    values = np.array([[16_777_216.0], [1.0], [1.0]], np.float32)
    assert moments_of(values).mean[0] == 16_777_218 / 3
