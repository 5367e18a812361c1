"""Steps of time: their names and lengths, and how they are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recurra.data.columns.frequency import CYCLES, DAY, Frequency, calendar, find_cycles, find_frequency
from recurra.errors import DataError

HOUR, MINUTE = DAY // 24, DAY // 1440


def times(*texts):
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize(
    ("frequency", "name", "microseconds"),
    [
        (Frequency("number"), "1", None),
        (Frequency("number", 5), "5", None),
        (Frequency("business"), "1 business day", 7 * DAY // 5),
        (Frequency("month"), "1 month", 2_629_746_000_000),
        (Frequency("month", 3), "1 quarter", 3 * 2_629_746_000_000),
        (Frequency("month", 12), "1 year", 31_556_952_000_000),
        (Frequency("month", 2), "2 months", 2 * 2_629_746_000_000),
        (Frequency("fixed", 14 * DAY), "2 weeks", 14 * DAY),
        (Frequency("fixed", 8 * DAY), "8 days", 8 * DAY),
        (Frequency("fixed", 36 * HOUR), "36 hours", 36 * HOUR),
        (Frequency("fixed", 90 * MINUTE), "90 minutes", 90 * MINUTE),
        (Frequency("fixed", 61_000_000), "61 seconds", 61_000_000),
        (Frequency("fixed", 1_001_000), "1,001 milliseconds", 1_001_000),
        (Frequency("fixed", 1001), "1,001 microseconds", 1001),
        (Frequency("fixed"), "1 microsecond", 1),
    ],
)
def test_names_and_lengths(frequency, name, microseconds):
    assert str(frequency) == name
    assert frequency.dated is (microseconds is not None)
    if microseconds is not None:
        assert frequency.microseconds == microseconds


def test_only_steps_within_a_day_are_counted_in_elapsed_time():
    assert Frequency("fixed", HOUR).absolute
    assert not Frequency("fixed", HOUR, local=True).absolute
    assert not Frequency("fixed", 2 * DAY).absolute
    assert not Frequency("month").absolute
    assert not Frequency("number").absolute
    assert Frequency("fixed", 36 * HOUR).absolute


def test_months():
    month = Frequency("month", 2)
    origin = times("2024-01-15T06:00")[0]
    assert (
        month.at(origin, np.array([0, 1, -1])).tolist()
        == times("2024-01-15T06:00", "2024-03-15T06:00", "2023-11-15T06:00").tolist()
    )
    found = month.positions(
        times("2024-03-15T06:00", "2024-02-15T06:00", "2024-03-15T07:00", "2023-11-15T06:00"), origin
    )
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, -1])
    end = Frequency("month", 1, True)
    origin = times("2024-01-30T12:00")[0]  # the day before the last
    assert end.at(origin, np.array([1])).tolist() == times("2024-02-28T12:00").tolist()
    assert end.positions(times("2024-02-28T12:00", "2024-02-29T12:00"), origin).tolist()[0] == 1


def test_business_days_keep_the_time_of_day():
    friday = times("2024-03-01T08:00")[0]
    step = Frequency("business")
    assert step.at(friday, np.array([1, 5])).tolist() == times("2024-03-04T08:00", "2024-03-08T08:00").tolist()
    found = step.positions(times("2024-03-04T08:00", "2024-03-04T09:00", "2024-03-02T08:00"), friday)
    np.testing.assert_array_equal(found, [1, np.nan, np.nan])


def test_fixed_steps_and_numbers():
    step = Frequency("fixed", HOUR)
    origin = times("2024-01-01")[0]
    found = step.positions(times("2024-01-01T02:00", "2023-12-31T23:00", "2024-01-01T00:30"), origin)
    np.testing.assert_array_equal(found, [2, -1, np.nan])
    number = Frequency("number", 5)
    np.testing.assert_array_equal(number.positions(np.array([10, 12, 20]), np.int64(10)), [0, np.nan, 2])
    assert number.at(np.int64(10), np.array([0, 3])).tolist() == [10, 25]


@pytest.mark.parametrize(
    ("series", "frequency"),
    [
        ([np.array([1, 3, 5, 9])], Frequency("number", 2)),
        ([np.array([5]), np.array([1, 4])], Frequency("number", 3)),
        ([times("2024-01-01", "2024-01-29")], Frequency("fixed", 28 * DAY)),
        ([times("2024-02-01", "2024-03-01")], Frequency("month")),
        ([times("2023-02-01", "2023-03-01")], Frequency("month")),
        ([times("2024-01-31", "2024-02-29", "2024-03-31")], Frequency("month", 1, True)),
        ([times("2024-04-30", "2024-05-31", "2024-06-30")], Frequency("month", 1, True)),
        ([times("2024-01-01", "2024-02-01"), times("2024-01-05", "2024-02-05")], Frequency("month")),
        ([times("2024-01-01", "2024-02-01"), times("2024-01-01")], Frequency("month")),
        ([times("2024-01-01", "2024-04-01", "2024-07-01", "2024-08-01")], Frequency("month", 3)),
        ([times("2024-01-01", "2024-01-31", "2024-03-01")], Frequency("fixed", 30 * DAY)),
        ([times("2024-03-01", "2024-03-04", "2024-03-05", "2024-03-06")], Frequency("business")),
        ([times("2024-03-02", "2024-03-03", "2024-03-04", "2024-03-07")], Frequency("fixed", DAY)),
        ([times("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-08")], Frequency("fixed", DAY)),
        ([times("2024-03-01"), times("2024-03-01", "2024-03-01T00:15")], Frequency("fixed", 15 * MINUTE)),
    ],
)
def test_the_most_frequent_step_is_found(series, frequency):
    assert find_frequency(series) == frequency


@pytest.mark.parametrize("series", [[], [times("2024-01-01")], [np.array([1]), np.array([2])]])
def test_without_two_rows_there_is_no_step(series):
    with pytest.raises(DataError, match="no series has two rows"):
        find_frequency(series)


def test_cycles_that_some_rows_show():
    assert CYCLES == {"minute": HOUR, "hour": DAY, "weekday": 7 * DAY, "year": 31_556_952_000_000}
    minute = Frequency("fixed", MINUTE)
    assert find_cycles(minute, 119) == []
    assert find_cycles(minute, 120) == ["minute"]
    assert find_cycles(Frequency("fixed", 30 * MINUTE), 10_000) == ["hour", "weekday"]
    assert find_cycles(Frequency("fixed", 29 * MINUTE), 200)[0] == "minute"
    assert find_cycles(Frequency("fixed", 12 * HOUR), 28) == ["weekday"]
    assert find_cycles(Frequency("fixed", DAY), 14) == ["weekday"]
    assert find_cycles(Frequency("fixed", DAY), 13) == []
    assert find_cycles(Frequency("business"), 600) == ["weekday", "year"]
    assert find_cycles(Frequency("month", 6), 100) == []
    assert find_cycles(Frequency("month", 3), 8) == ["year"]


def test_phases_of_cycles():
    found = calendar(times("2024-01-01T06:00", "2024-07-01T18:15"), ["hour", "minute", "weekday", "year"])
    assert found.dtype == np.float32
    phases = [
        [6 / 24, 18.25 / 24],
        [0, 0.25],
        [(4 + 0.25) / 7, (4 + 18.25 / 24) / 7],
        [0.25 / 366, (182 + 18.25 / 24) / 366],
    ]
    for column, phase in enumerate(phases):
        turn = 2 * np.pi * np.array(phase)
        np.testing.assert_allclose(found[:, 2 * column], np.sin(turn), atol=1e-6)
        np.testing.assert_allclose(found[:, 2 * column + 1], np.cos(turn), atol=1e-6)
    assert calendar(times("2024-01-01"), []).shape == (1, 0)


@pytest.mark.parametrize("value", [Frequency("month")], ids=lambda value: type(value).__name__)
def test_steps_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
