"""Time columns: spellings, steps, calendar."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.times import FORMATS, Frequency, calendar, find_cycles, find_frequency, parse_times, spell
from recurra.errors import DataError


def parse(*texts: str):
    return parse_times(pa.array(texts), name="t", where=lambda row: f"f.csv, line {row + 2}")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2016-07-01 13:00:00", "2016-07-01 14:00:00"], "2016-07-01T13"),
        (["2016-07-01T13:00:00Z", "2016-07-01T14:00:00Z"], "2016-07-01T13"),
        (["2016-07-01T13:00:00+09:00", "2016-07-01T14:00:00+09:00"], "2016-07-01T13"),
        (["2016-07-01 13:00:00.500", "2016-07-01 13:00:01.500"], "2016-07-01T13:00:00.5"),
        (["2016/07/01", "2016/07/02"], "2016-07-01"),
        (["20160701", "20160702"], "2016-07-01"),
        (["201607", "201608"], "2016-07-01"),
        (["2016-07", "2016-08"], "2016-07-01"),
        (["Jul 2016", "Aug 2016"], "2016-07-01"),
        (["31.07.2016 00:30", "01.08.2016 00:30"], "2016-07-31T00:30"),
        (["07/31/2016", "08/01/2016"], "2016-07-31"),
        (["31/07/2016", "01/08/2016"], "2016-07-31"),
        (["01/02/2016", "02/02/2016", "03/02/2016"], "2016-02-01"),  # regular as days of February only
        (["01/02/2016", "01/03/2016", "01/04/2016"], "2016-01-02"),
        ([" 2016-07-01 ", "2016-07-02"], "2016-07-01"),
    ],
)
def test_spellings(texts, expected):
    times = parse(*texts)
    assert times.dated
    assert times.values[0] == np.datetime64(expected)
    if times.spelling or times.zone:
        assert spell(times.values, times.spelling, times.zone)[0] in (
            texts[0].strip(),
            texts[0].replace(".500", ".500000"),
        )


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.sampled_from(FORMATS))
def test_every_spelling_is_read_back(moment, spelling):
    texts = [moment.strftime(spelling)]
    found = parse(*texts)
    assert spell(found.values, found.spelling, found.zone) == texts


@pytest.mark.parametrize(
    ("column", "expected"),
    [(pa.array(["7", "8"]), [7, 8]), (pa.array([1949, 1950]), [1949, 1950]), (pa.array([1.0, 2.0]), [1, 2])],
)
def test_whole_numbers(column, expected):
    times = parse_times(column, name="t", where=str)
    assert not times.dated
    assert times.values.tolist() == expected
    assert spell(times.values) == expected


def test_typed_columns():
    days = pa.array([datetime(2020, 1, 1), datetime(2020, 1, 2)])
    for column in (days, days.cast(pa.date32()), days.cast(pa.timestamp("s", "Asia/Seoul"))):
        assert parse_times(column, name="t", where=str).dated


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["2016-07-01", ""], "line 3, column t: the time is missing"),
        (["2016-07-01", "soon"], 'line 3, column t: "soon" is not spelt like the times before it \\(2016-07-01\\)'),
        (["never"], 'line 2, column t: "never" is no time'),
        (["2016-07-01", "2016-13-01"], "line 3"),
    ],
)
def test_bad_times(texts, message):
    with pytest.raises(DataError, match=message):
        parse(*texts)


# steps


def days(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[us]")


@pytest.mark.parametrize(
    ("times", "name"),
    [
        (days("2020-01-01", "2020-01-02", "2020-01-04"), "1 day"),
        (days("2020-01-01T00", "2020-01-01T01"), "1 hour"),
        (days("2020-01-01T00:00", "2020-01-01T00:15"), "15 minutes"),
        (days("2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"), "1 month"),
        (days("2020-01-31", "2020-02-29", "2020-03-31"), "1 month"),
        (days("2020-03-31", "2020-06-30", "2020-09-30"), "1 quarter"),
        (days("2019-01-01", "2020-01-01", "2021-01-01"), "1 year"),
        (days("2020-01-03", "2020-01-06", "2020-01-07", "2020-01-08"), "1 business day"),
        (days("2020-01-06", "2020-01-13", "2020-01-20"), "7 days"),
        (np.array([1949, 1950, 1951]), "1"),
        (np.array([0, 5, 10, 20]), "5"),
    ],
)
def test_frequency(times, name):
    frequency = find_frequency([times])
    assert str(frequency) == name
    positions = frequency.positions(times, times[0])
    np.testing.assert_array_equal(frequency.at(times[0], positions.astype(np.int64)), times)


@given(
    st.sampled_from(
        [Frequency("fixed", 900_000_000), Frequency("month"), Frequency("month", 3, True), Frequency("business")]
    ),
    st.integers(0, 4000),
)
def test_positions_and_times_are_inverse(frequency, steps):
    origin = np.datetime64("2019-12-31T00:00" if frequency.end else "2019-12-02T00:00", "us")
    at = frequency.at(origin, np.arange(steps, steps + 5))
    assert frequency.positions(at, origin).tolist() == list(range(steps, steps + 5))


def test_times_between_two_steps_have_no_position():
    frequency = Frequency("fixed", 3_600_000_000)
    assert np.isnan(frequency.positions(days("2020-01-01T00:30"), days("2020-01-01")[0]))[0]
    assert np.isnan(Frequency("month").positions(days("2020-02-02"), days("2020-01-01")[0]))[0]
    assert np.isnan(Frequency("business").positions(days("2020-01-04"), days("2020-01-03")[0]))[0]


def test_no_step():
    with pytest.raises(DataError, match="step of time"):
        find_frequency([days("2020-01-01")])


# calendar


def test_cycles_need_two_turns_and_a_finer_step():
    hour = Frequency("fixed", 3_600_000_000)
    assert find_cycles(hour, 47) == []
    assert find_cycles(hour, 48) == ["hour"]
    assert find_cycles(hour, 24 * 800) == ["hour", "weekday", "year"]
    assert find_cycles(Frequency("fixed", 7 * 86_400_000_000), 500) == ["year"]
    assert find_cycles(Frequency("month"), 24) == ["year"]
    assert find_cycles(Frequency("number"), 10_000) == []


def test_calendar_turns_with_the_clock():
    times = np.datetime64("2020-02-01", "us") + np.arange(24 * 14) * np.timedelta64(1, "h")
    found = calendar(times, ["hour", "weekday", "year"])
    assert found.shape == (336, 6)
    np.testing.assert_allclose(found[:24, :2], found[24:48, :2], atol=1e-6)
    np.testing.assert_allclose(found[:168, 2:4], found[168:, 2:4], atol=1e-6)
    np.testing.assert_allclose((found.reshape(336, 3, 2) ** 2).sum(2), 1, atol=1e-6)
    assert len(np.unique(found[:24, :2].round(4), axis=0)) == 24
