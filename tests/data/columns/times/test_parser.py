"""Columns of times: typed, whole numbers and texts."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from recurra.data.columns.frequency import Frequency
from recurra.data.columns.times.model import TimeReading
from recurra.data.columns.times.parser import Parser
from recurra.data.columns.times.spelling import Spelling
from recurra.errors import DataError


def parse(column, *, reading=None, groups=None, frequency=None, order_only=False):
    column = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column)
    parser = Parser("t", lambda row: f"row {row}", reading or TimeReading(), groups, frequency, order_only)
    return parser.parse(column)


def days(*texts):
    return np.array(texts, "datetime64[us]").tolist()


# typed columns


def test_dates_and_timestamps():
    stamp = dt.datetime(2024, 1, 2, 3)
    for kind in ("s", "ms", "us", "ns"):
        found = parse(pa.array([stamp], pa.timestamp(kind)))
        assert (found.values.tolist(), found.values.dtype) == ([stamp], "datetime64[us]")
        assert (found.spelling, found.zone, found.offsets) == (Spelling(), None, None)
    for kind in (pa.date32(), pa.date64()):
        assert parse(pa.array([dt.date(2024, 1, 2)], kind)).values.tolist() == days("2024-01-02")
    assert parse(pa.chunked_array([pa.array([stamp]), pa.array([stamp])])).values.tolist() == [stamp] * 2


@pytest.mark.parametrize(("zone", "hours"), [("Asia/Seoul", 9), ("+09:00", 9), ("-0530", -5.5), ("UTC", 0)])
def test_zones_of_timestamps(zone, hours):
    instant = dt.datetime(2024, 1, 2, 3)
    found = parse(pa.array([instant]).cast(pa.timestamp("us")).cast(pa.timestamp("us", zone)))
    assert found.instants.tolist() == [instant]
    assert found.values.tolist() == [instant + dt.timedelta(hours=hours)]
    assert found.zone.name == (zone if zone[0].isalpha() else "")


def test_order_only_takes_clocks_and_nanoseconds():
    fine = parse(pa.array([1, 2]).cast(pa.timestamp("ns")), order_only=True)
    assert fine.values.tolist() == [1, 2]
    assert parse(pa.array([1999]).cast(pa.timestamp("ns"))).values.astype(np.int64).tolist() == [1]
    for kind, unit in ((pa.time32("s"), 1), (pa.time64("us"), 10**6)):
        assert parse(pa.array([dt.time(0, 1)], kind), order_only=True).values.tolist() == [60 * unit]
        with pytest.raises(DataError, match=r"row 0, column t: values of type time\d+\[u?s\] are not times"):
            parse(pa.array([dt.time(0, 1)], kind))
    assert parse(pa.array([5]).cast(pa.duration("s")), order_only=True).values.tolist() == [5]
    with pytest.raises(DataError, match=r"^column t: values of type"):
        parse(pa.array([], pa.bool_()))


def test_missing_times_are_named():
    for column in ([1.0, float("nan")], ["2024-01-01", "NA"], [1, None], ["2024-01-01", "?"]):
        with pytest.raises(DataError, match=r"^row 1, column t: the time is missing"):
            parse(column)


# numbers


@pytest.mark.parametrize(
    ("reading", "numbers", "values"),
    [
        (TimeReading("unix"), [1], "1970-01-01T00:00:01"),
        (TimeReading("unix-ms"), [1], "1970-01-01T00:00:00.001"),
        (TimeReading("unix-us"), [1], "1970-01-01T00:00:00.000001"),
        (TimeReading(known=Spelling("unix")), [1], "1970-01-01T00:00:01"),
        (TimeReading("unix"), ["1"], "1970-01-01T00:00:01"),
        (TimeReading("unix"), [1.0], "1970-01-01T00:00:01"),
        (TimeReading("%Y%m"), [202402], "2024-02-01"),
        (TimeReading("%Y"), [2024], "2024-01-01"),
    ],
)
def test_numbers_in_a_known_format(reading, numbers, values):
    found = parse(numbers, reading=reading)
    assert found.values.tolist() == days(values)
    assert found.spelling.format == (reading.format or reading.known.format)


def test_numbers_that_are_counted():
    assert parse([5, 7]).values.tolist() == [5, 7]
    known = TimeReading("number", known=Spelling("unix"))
    assert parse([5, 7], reading=known).values.tolist() == [5, 7]
    number = Frequency("number")
    assert parse([5], reading=TimeReading(known=Spelling("unix")), frequency=number).values.tolist() == [5]
    assert parse([20240101, 20240102], frequency=number).dated is False
    assert parse([20240101, 20240102], frequency=Frequency("month")).dated
    assert parse([20240101, 20240102], order_only=True).dated is False
    assert parse(pa.array([], pa.int64())).values.tolist() == []
    assert parse(["1,000", "2,000"]).values.tolist() == [1000, 2000]
    assert parse(["+5", "-7"]).values.tolist() == [5, -7]
    assert parse(pa.array([], pa.string())).spelling == Spelling("number")
    assert parse(pa.array([], pa.string()), reading=TimeReading(known=Spelling("%Y"))).spelling == Spelling("%Y")


@pytest.mark.parametrize("digits", [6, 8, 10, 12, 14])
def test_compact_dates_have_an_even_number_of_digits(digits):
    text = "20240203040506"[:digits]
    assert parse([int(text)]).dated
    assert parse([text]).dated
    for other in (5, 7, 9, 11, 13):
        assert not parse([int("20240203040506"[:other])]).dated


def test_numbers_that_are_no_dates_of_our_age_are_counted():
    assert not parse([17991231]).dated
    assert parse([18000101]).dated
    assert not parse([20240199]).dated


@pytest.mark.parametrize(
    ("numbers", "format"),
    [
        ([1_600_000_000] * 2, "unix"),
        ([1_600_000_000_000] * 2, "unix-ms"),
        ([1_600_000_000_000_000] * 2, "unix-us"),
        ([1_600_000_000, 16_000_000_000], ""),
        ([160_000_000, 1_600_000_000], ""),
        ([1_600_000_00], ""),
    ],
)
def test_numbers_that_may_count_from_1970_are_noted(numbers, format):
    found = parse(numbers)
    wanted = f"t holds whole numbers; if they count from 1970, read them with --time-format {format}" if format else ""
    assert (found.note, found.values.tolist()) == (wanted, numbers)
    assert parse(numbers, reading=TimeReading("number")).note == ""
    assert parse(numbers, reading=TimeReading(known=Spelling("number"))).note == ""


def test_numbers_that_are_too_large():
    largest = 2**62 // 10**6 - 1
    assert parse([largest], reading=TimeReading("unix")).values.astype(np.int64).tolist() == [largest * 10**6]
    for number in (largest + 1, -largest - 1):
        with pytest.raises(DataError, match=f'^row 1, column t: "{number}" is too large to be read as unix'):
            parse([0, number], reading=TimeReading("unix"))
    exact = float(2**53 - 1)
    assert parse([exact]).values.tolist() == [2**53 - 1]
    with pytest.raises(DataError, match=r"^row 1, column t: 9007199254740992\.0 is neither a date nor a whole number"):
        parse([0.0, float(2**53)])
    with pytest.raises(DataError, match=r"^row 2, column t: 0\.5 is neither"):
        parse([0.0, 1.0, 0.5])
    assert parse([0.0, 0.5], order_only=True).values.tolist() == [0.0, 0.5]
    assert parse([0.5], order_only=True).spelling == Spelling("number")


# texts


def test_invisible_marks_and_odd_spaces():
    found = parse(
        ["\ufeff2024-01-02\u00a003:00", "\u200e2024-01-02\u200f\u300004:00\u200b", " 2024-01-02\u2009\u202f05:00 "]
    )
    assert [time.hour for time in found.values.tolist()] == [3, 4, 5]


def test_a_given_format_is_the_only_one():
    reading = TimeReading("%d/%m/%Y")
    assert parse(["01/02/2024"], reading=reading).values.tolist() == days("2024-02-01")
    with pytest.raises(DataError, match=r"^row 1, column t: \"2024-01-01\" is not written as '%d/%m/%Y'"):
        parse(["01/02/2024", "2024-01-01"], reading=reading)
    with pytest.raises(DataError, match=r'^row 1, column t: "31/02/2024" is not a date of the calendar$'):
        parse(["01/02/2024", "31/02/2024"], reading=reading)
    with pytest.raises(DataError, match=r'"soon" is not a time that can be read; write a whole number, or'):
        parse(["soon"], reading=TimeReading("number"))
    with pytest.raises(DataError, match="with the day first; write 2016-07-01 13:00:00, or a whole number"):
        parse(["soon"], reading=TimeReading(order="day"))


def test_the_spelling_of_earlier_data_is_tried_first():
    known = TimeReading(known=Spelling("%-d/%-m/%Y"))
    assert parse(["1/2/2024"], reading=known).values.tolist() == days("2024-02-01")
    padded = parse(["01/02/2024"], reading=known)
    assert (padded.values.tolist(), padded.spelling.format) == (days("2024-02-01"), "%d/%m/%Y")
    assert parse(["1.2.2024"], reading=known).values.tolist() == days("2024-02-01")
    other = TimeReading(order="month", known=Spelling("%-d/%-m/%Y"))
    assert parse(["1/2/2024"], reading=other).values.tolist() == days("2024-01-02")
    # day and month can only be the other way round
    assert parse(["1/13/2024"], reading=known).values.tolist() == days("2024-01-13")


def test_the_first_row_unlike_those_before_is_named():
    for texts, row in ((["2024-01-01", "2024-01-02", "x"], 2), (["1", "2", "x"], 2), (["5", "2024-01-01"], 1)):
        with pytest.raises(DataError, match=rf"^row {row}, column t: .* is not written like the times before it \("):
            parse(texts)
    with pytest.raises(DataError, match=r'^row 0, column t: "2024-02-30" is not a date of the calendar$'):
        parse(["2024-02-30"])
    with pytest.raises(DataError, match=r"^row 0, column t: \"13/01/2024\" is not .* with the month first"):
        parse(["13/01/2024"], reading=TimeReading(order="month"))
    with pytest.raises(DataError, match=r"^row 1, column t: .* is finer than a microsecond"):
        parse(["2024-01-01 10:00:00.0", "2024-01-01 10:00:00.0000001"])


def test_what_was_chosen_is_noted():
    months = ["1/1/2024", "2/1/2024", "3/1/2024", "4/1/2024", "13/1/2024"]
    assert parse(months).note == "the times are read day first: 1/1/2024 is 2024-01-01"
    regular = ["1/1/2024", "2/1/2024", "3/1/2024", "4/1/2024", "5/1/2024", "6/1/2024", "7/1/2024", "8/1/2024"]
    days_first = parse([*regular[:4], "5/1/2024", "6/1/2024"], frequency=Frequency("fixed", 86_400_000_000))
    assert days_first.note == (
        "the times are read day first: 1/1/2024 is 2024-01-01 (the steps are less regular if they are read month first)"
    )
    assert parse(["2024-01-01", "2024-01-02"]).note == ""
    assert parse(["1/1/2024"] * 1 + ["2/13/2024"], reading=TimeReading(known=Spelling("%m/%d/%Y"))).note == ""


def test_two_readings_that_fit_equally_are_refused():
    with pytest.raises(DataError, match=r'^row 0, column t: "1/2/2024" can be read day first .* and month first '):
        parse(["1/2/2024", "2/2/2024", "3/2/2024"])
    ordered = parse(["1/1/2024", "2/2/2024", "3/3/2024"], order_only=True)
    assert (np.diff(ordered.values) > np.timedelta64(0)).all()
    assert ordered.spelling == Spelling()


def test_series_are_compared_one_by_one():
    texts = ["1/1/2024", "2/1/2024", "3/1/2024", "4/1/2024"]
    by_month = parse(texts, groups=np.zeros(4, np.int64), frequency=Frequency("month"))
    assert by_month.values.tolist() == days("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01")
