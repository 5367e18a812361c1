"""The most regular of several readings is chosen, and none where the times do not decide."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recurra.data.columns.frequency import DAY, Frequency
from recurra.data.columns.times.choice import Choice, day_of, in_order, label_of, order_of
from recurra.data.columns.times.reading import Read
from recurra.data.columns.times.spelling import Spelling

JANUARY = np.datetime64("2024-01-01", "us")


def reading(days, format="%d/%m/%Y"):
    times = JANUARY + np.array(days) * np.timedelta64(1, "D")
    good = np.ones(len(times), bool)
    return Read(Spelling(format), times, None, good, good)


def choice(rows, frequency=None, groups=None):
    return Choice(np.zeros(rows, np.int64) if groups is None else np.array(groups), frequency)


def test_one_reading_is_taken():
    one = reading([0, 5])
    assert choice(2).best([one]) == ([one], None)


def test_a_reading_with_half_the_disorder_is_taken():
    regular, wild = reading(range(9)), reading([0, 1, 2, 9, 10, 30, 31, 70, 71], "%m/%d/%Y")
    for found in ([regular, wild], [wild, regular]):
        assert choice(9).best(found) == ([regular], wild)


@pytest.mark.parametrize(
    ("days", "disorder"),
    [
        (range(6), 0),
        ([0, 1, 2, 4, 5], 1),
        ([0, 1, 2, 4, 6, 7, 8], 2),
        ([0, 1, 3, 2, 4, 5], 1),  # a row out of order in the file
        ([5, 4, 3, 2, 1, 0], 0),  # the newest first
        ([0], 0),
    ],
)
def test_disorder_counts_rows(days, disorder):
    assert choice(len(days))._disorder(reading(days)) == disorder


def test_disorder_is_counted_within_series_and_by_a_given_step():
    days = [0, 10, 1, 11, 2, 12]
    assert choice(6, groups=[0, 1] * 3)._disorder(reading(days)) == 0
    assert choice(6)._disorder(reading(days)) > 0
    assert choice(3, Frequency("fixed", 2 * DAY))._disorder(reading([0, 1, 2])) == 2
    assert choice(3, Frequency("fixed", 2 * DAY))._disorder(reading([0, 2, 4])) == 0
    assert choice(2, groups=[0, 1])._disorder(reading([3, 1])) == 0  # no series has a step


def test_tied_readings_are_all_returned():
    days, months = reading([0, 1, 2]), reading([0, 31, 60], "%m/%d/%Y")
    assert choice(3).best([days, months])[0] == [days, months]
    assert choice(3).best([days, months])[1] is None
    assert choice(3, Frequency("month")).best([days, months]) == ([months], days)


def test_the_year_is_not_what_changes_with_every_row():
    years, days = reading([0, 366, 731], "%y-%m-%d"), reading([0, 1, 2], "%d-%m-%y")
    assert choice(3).best([years, days]) == ([days], years)
    assert choice(3).best([days, years]) == ([days], years)


def test_readings_that_give_the_same_order():
    one, other = reading([0, 1, 2]), reading([0, 31, 60])
    assert choice(3).same_order([one, other])
    swapped = reading([0, 60, 31])
    assert not choice(3).same_order([one, swapped])
    assert choice(3, groups=[0, 1, 0]).same_order([reading([0, 5, 2]), reading([0, 1, 31])])


def test_readings_are_described():
    assert choice(3).describe(reading([2, 0, 1])) == "2024-01-01 to 2024-01-03, a step of 1 day"
    assert choice(1).describe(reading([2])) == "2024-01-03 to 2024-01-03"
    assert label_of(reading([0])) == "day first"
    assert label_of(reading([0], "%m/%d/%y")) == "month first"
    assert label_of(reading([0], "%Y-%m-%d")) == "as %Y-%m-%d"
    assert day_of(JANUARY) == "2024-01-01"


@pytest.mark.parametrize(
    ("format", "order"),
    [
        ("%d/%m/%Y", "day"), ("%-m/%-d/%Y", "month"), ("%d.%m.%y %H:%M", "day"), ("%Y-%m-%d", None),
        ("%y-%m-%d", None), ("%d %b %Y", None), ("%m/%Y", None), ("", None),
    ],
)  # fmt: skip
def test_the_order_of_a_format(format, order):
    assert order_of(format) == order
    assert in_order(format, None)
    if order:
        assert in_order(format, order)
        assert not in_order(format, "day" if order == "month" else "month")
    numeric = format in ("%y-%m-%d",)
    if order is None:
        assert in_order(format, "day") is not numeric


@pytest.mark.parametrize("value", [choice(1), reading([0])], ids=lambda value: type(value).__name__)
def test_choices_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
