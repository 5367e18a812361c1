"""Scaling of numeric sequences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra._util.schema import check, plain
from recurra.data.encoders.series import SeriesConfig, SeriesEncoder
from recurra.errors import DataError, ModelFolderError


@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any),
    shift=st.sampled_from([0.0, 1e5]),
    seed=st.integers(0, 99),
)
def test_scaled_steps_have_mean_0_and_deviation_1(lengths, shift, seed):
    random = np.random.default_rng(seed)
    rows = [random.normal(shift, 3, size=(n, 2)) for n in lengths]
    encoder = SeriesEncoder(2).fit([rows[:3], rows[3:]] if rows[3:] else [rows])
    steps = np.concatenate(rows)
    np.testing.assert_allclose(encoder.mean, steps.mean(0), rtol=1e-9)
    expected = steps.std(0)
    np.testing.assert_allclose(encoder.scale, np.where(expected > 1e-8, expected, 0), rtol=1e-6)
    found = encoder.encode(rows)
    assert [len(row) for row in found] == lengths
    expected = np.where(expected > 1e-8, (steps - encoder.mean) / np.maximum(expected, 1e-8), 0)
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)


def test_a_constant_feature_becomes_0():
    encoder = SeriesEncoder(1).fit([[np.full((5, 1), 7.0)]])
    assert encoder.encode([np.full((2, 1), 7.0)])[0].tolist() == [[0.0], [0.0]]


def test_tiny_numbers_are_no_constants():
    encoder = SeriesEncoder(1).fit([[np.array([[1e-12], [3e-12]])]])
    assert encoder.encode([np.array([[5e-12]])])[0].tolist() == [[pytest.approx(3.0)]]


cells = st.sampled_from([1.0, 2.0, 5.0, float("nan")])


@given(st.lists(st.lists(st.tuples(cells, cells), max_size=6), min_size=1, max_size=5))
def test_missing_values_become_the_last_one_seen_or_the_mean(rows):
    arrays = [np.array(row, float).reshape(-1, 2) for row in rows]
    steps = np.concatenate(arrays)
    if np.isnan(steps).all():
        return
    encoder = SeriesEncoder(2).fit([arrays])
    lacking = np.flatnonzero(np.isnan(steps).any(0))
    assert encoder.input_size == 2 + len(lacking)
    for row, found in zip(arrays, encoder.encode(arrays), strict=True):
        assert np.isfinite(found).all()
        for feature in range(2):
            last = encoder.mean[feature]
            for step, value in enumerate(row[:, feature]):
                last = last if np.isnan(value) else value
                scale = encoder.scale[feature] or np.inf  # a constant becomes 0
                expected = (last - encoder.mean[feature]) / scale
                assert found[step, feature] == pytest.approx(expected, abs=1e-6)
        np.testing.assert_array_equal(found[:, 2:], np.isnan(row[:, lacking]))


def test_missing_where_training_had_none_has_no_channel():
    encoder = SeriesEncoder(1).fit([[np.array([[1.0], [3.0]])]])
    assert encoder.encode([np.array([[3.0], [np.nan]])])[0].tolist() == [[1.0], [1.0]]


def test_config_round_trip():
    encoder = SeriesEncoder(2).fit([[np.array([[1.0, 2.0], [3.0, np.nan], [np.nan, 8.0]])]])
    again = SeriesEncoder.from_files(encoder.to_config(), {})
    np.testing.assert_array_equal(again.mean, encoder.mean)
    np.testing.assert_array_equal(again.scale, encoder.scale)
    np.testing.assert_array_equal(again.masked, [0, 1])
    early = {k: v for k, v in encoder.to_config().items() if k != "masked"}  # as models were saved before
    assert SeriesEncoder.from_files(plain(check(SeriesConfig, early, "config.json")), {}).input_size == 2


def test_what_cannot_be_scaled():
    with pytest.raises(DataError, match="every sequence is empty"):
        SeriesEncoder(1).fit([[np.zeros((0, 1))]])
    with pytest.raises(DataError, match="every value is missing"):
        SeriesEncoder(1).fit([[np.full((3, 1), np.nan)]])
    with pytest.raises(DataError, match="sequence 1, step 0, feature 1 is inf"):
        SeriesEncoder(2).fit([[np.zeros((1, 2)), np.array([[0, np.inf]])]])
    with pytest.raises(DataError, match="3 features where 2"):
        SeriesEncoder(2).encode([np.zeros((1, 3))])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mean": [0.0]}, "mean and scale do not have 2 values"),
        ({"scale": [1.0, 1.0, 1.0]}, "mean and scale do not have 2 values"),
        ({"features": 3}, "mean and scale do not have 3 values"),
        ({"masked": [2]}, "masked does not name features in order"),
        ({"masked": [1, 0]}, "masked does not name features in order"),
        ({"masked": [1, 1]}, "masked does not name features in order"),
        ({"scale": [1.0, -1.0]}, "scale"),
        ({"masked": [0, 1]}, None),
        ({"masked": [1]}, None),
        ({"masked": []}, None),
        ({"scale": [0.0, 1.0]}, None),
    ],
)
def test_configurations_are_checked(config, message):
    whole = {"kind": "series", "features": 2, "mean": [0.0, 0.0], "scale": [1.0, 1.0], "masked": [], **config}
    if message is None:
        assert plain(check(SeriesConfig, whole, "config.json")) == whole
    else:
        with pytest.raises(ModelFolderError, match=message):
            check(SeriesConfig, whole, "config.json")


def test_an_encoder_without_training_changes_nothing():
    encoder = SeriesEncoder(2)
    assert (encoder.kind, encoder.dtype, encoder.input_size, encoder.to_files()) == ("series", np.float32, 2, {})
    assert encoder.encode([np.array([[1.0, 2.0]])])[0].tolist() == [[1.0, 2.0]]
    found = encoder.fit([[np.array([[1.0, np.nan], [3.0, 4.0]])], []])
    assert found is encoder
    assert (encoder.masked.tolist(), encoder.encode([np.zeros((0, 2))])[0].shape) == ([1], (0, 3))
    with pytest.raises(DataError, match=r"sequence 0, step 1, feature 1 is -inf, not a finite number"):
        encoder.encode([np.array([[0.0, 0.0], [0.0, -np.inf]])])
