"""Time columns: spellings, readings that must be chosen, zones, steps, calendar."""

from __future__ import annotations

import datetime as dt
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.columns.frequency import Frequency, calendar, find_cycles, find_frequency
from recurra.data.columns.times.formats import CLOCKS, DATES, formats_of
from recurra.data.columns.times.zones import Zone
from recurra.data.columns.timestamps import Spelling, TimeReading, join_times, parse_times
from recurra.errors import DataError, UsageError


def parse(*texts, **options):
    return parse_times(pa.array(texts), name="t", where=lambda row: f"f.csv, line {row + 2}", **options)


@pytest.mark.parametrize(
    "texts",
    [
        ["1/13/2024, 1:00\u202fPM", "1/14/2024, 1:00\u202fPM"],  # toLocaleString of a browser
        ["2024-01-13\u00a013:00", "2024-01-14\u00a013:00"],
        ["\u200e2024\u200e-\u200e01\u200e-\u200e13 13:00", "2024-01-14 13:00"],  # copied from Windows
        ["2024-01-13 13:00", "\ufeff2024-01-14 13:00"],  # two files behind each other
    ],
)
def test_invisible_characters_do_not_matter(texts):
    found = parse(*texts).values.astype("datetime64[h]").astype(str).tolist()
    assert found == ["2024-01-13T13", "2024-01-14T13"]


@pytest.mark.parametrize(
    ("texts", "first", "second"),
    [
        (["2016-07-01 13:00:00", "2016-07-01 14:00:00"], "2016-07-01T13", "2016-07-01T14"),
        (["2016-07-01T13:00:00Z", "2016-07-01T14:00:00Z"], "2016-07-01T13", "2016-07-01T14"),
        (["2016-07-01T13:00:00+09:00", "2016-07-01T14:00:00+09:00"], "2016-07-01T13", "2016-07-01T14"),
        (["2016-07-01 13:00:00.500", "2016-07-01 13:00:01.500"], "2016-07-01T13:00:00.5", "2016-07-01T13:00:01.5"),
        (["2016-07-01 13:00:00,5", "2016-07-01 13:00:01,5"], "2016-07-01T13:00:00.5", "2016-07-01T13:00:01.5"),
        (["2016-07-01 13:00:00.0", "2016-07-01 13:00:01.0"], "2016-07-01T13:00:00", "2016-07-01T13:00:01"),
        (["2016/07/01", "2016/07/02"], "2016-07-01", "2016-07-02"),
        (["2016/7/1 9:05", "2016/7/1 10:05"], "2016-07-01T09:05", "2016-07-01T10:05"),
        (["20160701", "20160702"], "2016-07-01", "2016-07-02"),
        (["2016070109", "2016070110"], "2016-07-01T09", "2016-07-01T10"),
        (["201607010930", "201607011030"], "2016-07-01T09:30", "2016-07-01T10:30"),
        (["20160701093015", "20160701093016"], "2016-07-01T09:30:15", "2016-07-01T09:30:16"),
        (["20160701T093000Z", "20160701T103000Z"], "2016-07-01T09:30", "2016-07-01T10:30"),
        (["2018010123", "2018010124", "2018010201"], "2018-01-01T23", "2018-01-02T00"),
        (["2018-01-01 23:00", "2018-01-01 24:00"], "2018-01-01T23", "2018-01-02T00"),
        (["201607", "201608"], "2016-07-01", "2016-08-01"),
        (["2016-07", "2016-08"], "2016-07-01", "2016-08-01"),
        (["2016.9", "2016.10"], "2016-09-01", "2016-10-01"),
        (["Jul 2016", "Aug 2016"], "2016-07-01", "2016-08-01"),
        (["July 2016", "August 2016"], "2016-07-01", "2016-08-01"),
        (["5 Jan 2016", "6 Jan 2016"], "2016-01-05", "2016-01-06"),
        (["05-JAN-16", "06-JAN-16"], "2016-01-05", "2016-01-06"),
        (["January 5, 2016", "January 6, 2016"], "2016-01-05", "2016-01-06"),
        (["Tue, 05 Jan 2016", "Wed, 06 Jan 2016"], "2016-01-05", "2016-01-06"),
        (["31.07.2016 00:30", "01.08.2016 00:30"], "2016-07-31T00:30", "2016-08-01T00:30"),
        (["07/31/2016", "08/01/2016"], "2016-07-31", "2016-08-01"),
        (["31/07/2016", "01/08/2016"], "2016-07-31", "2016-08-01"),
        (["04-13-2020", "04-14-2020"], "2020-04-13", "2020-04-14"),
        (["4/13/20", "4/14/20"], "2020-04-13", "2020-04-14"),
        (["13.04.99", "14.04.99"], "1999-04-13", "1999-04-14"),
        (["20-04-13", "20-04-14"], "2020-04-13", "2020-04-14"),
        (["4/13/2020 12:05 AM", "4/13/2020 1:05 PM"], "2020-04-13T00:05", "2020-04-13T13:05"),
        (["4/13/2020 12:05:00 pm", "4/13/2020 1:05:00 pm"], "2020-04-13T12:05", "2020-04-13T13:05"),
        ([" 2016-07-01 ", "2016-07-02"], "2016-07-01", "2016-07-02"),
        (["1950Q1", "1950Q2"], "1950-01-01", "1950-04-01"),
        (["Q1 1950", "Q2 1950"], "1950-01-01", "1950-04-01"),
        (["1950-Q1", "1950-Q2"], "1950-01-01", "1950-04-01"),
        (["1Q18", "2Q18"], "2018-01-01", "2018-04-01"),
        (["1950M09", "1950M10"], "1950-09-01", "1950-10-01"),
        (["2018-059", "2018-060"], "2018-02-28", "2018-03-01"),
        (["W09 2018", "W10 2018"], "2018-02-26", "2018-03-05"),
        (["2018년 3분기", "2018년 4분기"], "2018-07-01", "2018-10-01"),
        (["2018-W01", "2018-W02"], "2018-01-01", "2018-01-08"),
        (["2020-W53-7", "2021-W01-1"], "2021-01-03", "2021-01-04"),
        (["2018. 1. 9.", "2018. 1. 10."], "2018-01-09", "2018-01-10"),
        (["2018. 1. 9", "2018. 1. 10"], "2018-01-09", "2018-01-10"),
        (["2018.01.09.", "2018.01.10."], "2018-01-09", "2018-01-10"),
        (["2018년 1월 9일", "2018년 1월 10일"], "2018-01-09", "2018-01-10"),
        (["2018년01월09일", "2018년01월10일"], "2018-01-09", "2018-01-10"),
        (["2018년 1월", "2018년 2월"], "2018-01-01", "2018-02-01"),
        (["2018년 1월 9일 오전 12:00", "2018년 1월 9일 오후 12:00"], "2018-01-09T00", "2018-01-09T12"),
        (["2018-01-09 오전 1:00:05", "2018-01-09 오후 1:00:05"], "2018-01-09T01:00:05", "2018-01-09T13:00:05"),
        (["2018년 1월 9일 9시", "2018년 1월 9일 10시"], "2018-01-09T09", "2018-01-09T10"),
        (["2018-01-09(화)", "2018-01-10(수)"], "2018-01-09", "2018-01-10"),
        (["2018-01-09 09:00 KST", "2018-01-09 10:00 KST"], "2018-01-09T09", "2018-01-09T10"),
        (["2018-01-09 09:00:00 -0530", "2018-01-09 10:00:00 -0530"], "2018-01-09T09", "2018-01-09T10"),
        (["09/Jan/2018:09:00:00 +0000", "09/Jan/2018:10:00:00 +0000"], "2018-01-09T09", "2018-01-09T10"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_spellings(texts, first, second):
    times = parse(*texts)
    assert times.dated
    assert times.values[:2].tolist() == np.array([first, second], "datetime64[us]").tolist()
    assert times.write(slice(None)) == [text.strip() for text in texts]


@pytest.mark.parametrize("date", [format for format in DATES if "%d" in format or "%u" in format])
def test_every_date_is_found_and_written_as_it_was(date):
    days = np.arange("2016-12-20", "2017-02-20", dtype="datetime64[D]").astype("datetime64[us]")
    texts = Spelling(date.replace(".%f", "")).write(days)
    times = parse(*texts)
    assert times.write(slice(None)) == texts
    assert (times.values == days).all()


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_clock_is_found_and_written_as_it_was(clock):
    minutes = np.arange("2016-12-31T00:00", "2017-01-02T00:00", 35, dtype="datetime64[m]").astype("datetime64[us]")
    if "M" not in clock:
        minutes = np.arange("2016-12-31T00", "2017-01-02T00", dtype="datetime64[h]").astype("datetime64[us]")
    texts = Spelling(f"%Y-%m-%d {clock}", 3 * ("f" in clock)).write(minutes)
    times = parse(*texts)
    assert times.write(slice(None)) == texts
    assert (times.values == minutes).all()


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.sampled_from(DATES))
def test_a_format_reads_what_it_writes(moment, format):
    year = moment.replace(year=2000 + moment.year % 60, month=1 + moment.month % 12, day=1 + moment.day % 28)
    texts = Spelling(format.replace(".%f", "")).write(np.array([year], "datetime64[us]"))
    times = parse(*texts, reading=TimeReading(format))
    assert times.write(slice(None)) == texts


# several readings


def months_first(*moments: str) -> list[str]:
    return [f"{moment.month}/{moment.day}/{moment.year}" for moment in np.array(moments, "datetime64[D]").tolist()]


def swapped(texts: list[str]) -> list[str]:
    return ["/".join((text.split("/")[1], text.split("/")[0], text.split("/")[2])) for text in texts]


DAYS = {
    "months": np.arange("1992-01", "1996-01", dtype="datetime64[M]").astype("datetime64[D]"),
    "months on the 5th": np.arange("1992-01", "1996-01", dtype="datetime64[M]").astype("datetime64[D]") + 4,
    "quarters": np.arange("1992-01", "1999-01", 3, dtype="datetime64[M]").astype("datetime64[D]"),
    "days": np.arange("2016-01-01", "2016-03-01", dtype="datetime64[D]"),
    "weeks": np.arange("2016-01-01", "2018-01-01", 7, dtype="datetime64[D]"),
    "business days": np.busday_offset("2016-01-01", np.arange(60), roll="forward"),
    "years": np.arange("1990", "2010", dtype="datetime64[Y]").astype("datetime64[D]"),
}


@pytest.mark.parametrize("name", [name for name in DAYS if name != "years"])
@pytest.mark.parametrize("order", ["month", "day"])
def test_the_regular_reading_is_taken(name, order):
    texts = months_first(*DAYS[name])
    times = parse(*(texts if order == "month" else swapped(texts)))
    assert (times.values.astype("datetime64[D]") == DAYS[name]).all()
    assert f"{order} first" in times.note
    assert str(find_frequency([times.values])) in (f"1 {name.split()[0][:-1]}", "1 business day")


def test_gaps_and_several_series_do_not_hide_the_regular_reading():
    days = np.delete(DAYS["months"], [5, 20])
    texts = months_first(*days)
    groups = np.repeat([0, 1, 2], len(days))
    times = parse(*texts * 3, groups=groups)
    assert (times.values[: len(days)].astype("datetime64[D]") == days).all()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["01/02/2016", "02/02/2016", "03/02/2016"],
            r'line 2, column t: "01/02/2016" can be read day first \(2016-02-01 to 2016-02-03, a step of 1 day\) and '
            r"month first \(2016-01-02 to 2016-03-02, a step of 1 month\)",
        ),
        (["01/01/2018", "02/01/2018", "11/01/2018"], "--day-first, --month-first or --time-format"),
        (months_first(*DAYS["years"]), "day first .* month first"),
        (["01/02/18", "02/02/18", "03/02/18"], "day first .* month first"),
    ],
)
def test_two_readings_that_fit_are_an_error(texts, message):
    with pytest.raises(DataError, match=f"(?s){message}"):
        parse(*texts)
    for order, month in (("day", 1), ("month", 0)):
        found = parse(*texts, reading=TimeReading(order=order))
        assert int(str(found.values[1].astype("datetime64[M]"))[-2:]) == int(texts[1].split("/")[month])


def test_only_the_order_matters_where_nothing_else_is_asked():
    found = parse("01/02/2016", "02/03/2016", order_only=True)
    assert found.values[0] < found.values[1]
    assert found.spelling == Spelling()  # nothing was chosen that later data could be read by
    with pytest.raises(DataError, match="can be read"):
        parse("01/12/2016", "12/01/2016", order_only=True)


def test_what_was_learnt_is_used_for_a_short_column():
    known = parse(*months_first(*DAYS["months"])).spelling
    assert known.format == "%-m/%-d/%Y"
    again = parse("2/1/1996", "3/1/1996", reading=TimeReading(known=known))
    assert again.values[1].astype("datetime64[D]") == np.datetime64("1996-03-01")
    other = parse("02-01-1996", "03-01-1996", reading=TimeReading(known=known))  # another spelling, the same order
    assert other.values[1].astype("datetime64[D]") == np.datetime64("1996-03-01")
    changed = parse("2/1/1996", "3/1/1996", reading=TimeReading(order="day", known=known))
    assert changed.values[1].astype("datetime64[D]") == np.datetime64("1996-01-03")
    iso = parse("1996-02-01", "1996-03-01", reading=TimeReading(known=known))
    assert iso.spelling.format == "%Y-%m-%d"


def test_a_known_step_decides():
    found = parse("2/1/1996", "3/1/1996", "4/1/1996", frequency=Frequency("month"))
    assert found.values[1].astype("datetime64[D]") == np.datetime64("1996-03-01")


# formats that are given


@pytest.mark.parametrize(
    ("format", "texts", "expected"),
    [
        ("%d/%m/%Y", ["01/02/2016"], "2016-02-01"),
        ("%y%m%d", ["160201"], "2016-02-01"),
        ("%Y%j", ["2016032"], "2016-02-01"),
        ("%H:%M on %d.%m.%Y", ["13:30 on 01.02.2016"], "2016-02-01T13:30"),
        ("unix", ["1454284800"], "2016-02-01"),
        ("unix-ms", ["1454284800000"], "2016-02-01"),
        ("unix-us", [1454284800000000], "2016-02-01"),
        ("%Y%m%d", [20160201], "2016-02-01"),
    ],
)
def test_a_given_format(format, texts, expected):
    found = parse(*texts, reading=TimeReading(format))
    assert found.values[0] == np.datetime64(expected)
    assert [str(text) for text in found.write(slice(None))] == [str(text) for text in texts]
    again = parse(*texts, reading=TimeReading(known=found.spelling))
    assert again.values[0] == np.datetime64(expected)


@pytest.mark.parametrize(
    ("format", "numbers"),
    [
        ("unix", [1600000000, 1600003600]),
        ("unix-ms", [1600000000000, 1600003600000]),
        (None, [1, 2]),
        (None, [5, 10**9]),
    ],
)
def test_numbers_that_look_like_unix_times_are_reported(format, numbers):
    note = parse(*numbers).note
    assert note.endswith(f"--time-format {format}") if format else note == ""


def test_numbers_stay_numbers_if_told():
    assert parse("20160701", "20160702", reading=TimeReading("number")).values.tolist() == [20160701, 20160702]
    assert parse("20160701", "20160702", frequency=Frequency("number")).values.tolist() == [20160701, 20160702]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("%Q-%Y", None, None), "holds %Q"),
        (("%Y-%", None, None), "holds"),
        (("%H:%M", None, None), "no year"),
        (("%Y %d %Y", None, None), "%Y twice"),
        ((None, True, True), "give one of"),
        (("%Y", True, None), "give one of"),
    ],
)
def test_formats_that_cannot_be_used(arguments, message):
    with pytest.raises(UsageError, match=message):
        TimeReading.of(*arguments)


# numbers and typed columns


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["7", "8"]), [7, 8]),
        (pa.array([1949, 1950]), [1949, 1950]),
        (pa.array([1.0, 2.0]), [1, 2]),
        (pa.array(["1600000000", "1600003600"]), [1600000000, 1600003600]),
        (pa.array([1600000000000, 1600003600000]), [1600000000000, 1600003600000]),
        (pa.array([20180199, 20180200]), [20180199, 20180200]),
    ],
)
def test_whole_numbers(column, expected):
    times = parse_times(column, name="t", where=str)
    assert not times.dated
    assert times.values.tolist() == expected
    assert times.write(slice(None)) == expected


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.float64()])
def test_compact_dates_that_are_numbers(kind):
    times = parse_times(pa.array([20160731, 20160801]).cast(kind), name="t", where=str)
    assert times.values.astype("datetime64[D]").tolist() == [dt.date(2016, 7, 31), dt.date(2016, 8, 1)]
    times = parse_times(pa.array([201612, 201701]).cast(kind), name="t", where=str)
    assert times.values.astype("datetime64[D]").tolist() == [dt.date(2016, 12, 1), dt.date(2017, 1, 1)]


def test_typed_columns():
    days = pa.array([datetime(2020, 1, 1), datetime(2020, 1, 2)])
    for column in (days, days.cast(pa.date32()), days.cast(pa.timestamp("s", "Asia/Seoul"))):
        assert parse_times(column, name="t", where=str).dated


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_of_all_kinds(kind):
    column = pa.array(["2020-01-01", "2020-01-02"]).cast(kind)
    assert parse_times(column, name="t", where=str).values[1] == np.datetime64("2020-01-02")
    coded = pa.array(["2020-01-01", "2020-01-02"]).dictionary_encode()
    assert parse_times(coded, name="t", where=str).values[1] == np.datetime64("2020-01-02")


@pytest.mark.parametrize(
    "parts",
    [
        [["2018-01-05", "2018-01-05"], ["01:00", "02:00"]],
        [["5/1/2018", "25/1/2018"], ["1:00 AM", "2:00 AM"]],
        [[2018, 2018], [1, 1], [5, 5], [1, 2]],
        [["2018", "2018"], ["1", "1"], ["5", "5"], ["1", "2"]],
        [[dt.date(2018, 1, 5)] * 2, [dt.time(1), dt.time(2)]],
        [[dt.datetime(2018, 1, 5)] * 2, ["01:00", "02:00"]],
        [["20180105"] * 2, ["01", "02"]],
        [["01:00", "02:00"], ["05/01/2018", "05/01/2018"], "day"],
        [[20180105] * 2, [1, 2]],
    ],
)
def test_times_in_several_columns(parts):
    order = parts[2] if isinstance(parts[-1], str) else None
    column = join_times([pa.array(part) for part in parts if not isinstance(part, str)])
    found = parse_times(column, name="a,b", where=str, reading=TimeReading(order=order))
    assert found.values[0] == np.datetime64("2018-01-05T01")
    assert found.values[1].astype("datetime64[h]").tolist().hour == 2


def test_a_missing_part_is_a_missing_time():
    column = join_times([pa.array(["2018-01-05", "2018-01-05"]), pa.array(["01:00", " "])])
    with pytest.raises(DataError, match="1, column a,b: the time is missing"):
        parse_times(column, name="a,b", where=str)


def test_times_after_the_year_9999_cannot_be_written():
    with pytest.raises(DataError, match="after the year 9999"):
        Spelling("%Y-%m-%d").write(np.array(["10000-01-01"], "datetime64[us]"))
    with pytest.raises(DataError, match="too far from 1970"):
        parse_times(pa.array([2**62]).cast(pa.timestamp("s")), name="t", where=str)


# bad times


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["2016-07-01", ""], "line 3, column t: the time is missing"),
        (["2016-07-01", None], "line 3, column t: the time is missing"),
        (["2016-07-01", "soon"], 'line 3, column t: "soon" is not written like the times before it \\(2016-07-01\\)'),
        (["2016-07-01", "2016-07-02 01:00"], "line 3, column t: .* is not written like the times before it"),
        (["2016-07-01", "02.07.2016"], "line 3, column t: .* is not written like the times before it"),
        (["2016-07-01", "5"], "line 3, column t: .* is not written like the times before it"),
        (["5", "2016-07-01"], "line 3, column t: .* is not written like the times before it"),
        (["never"], 'line 2, column t: "never" is not a time that can be read; .* --time-format'),
        (["12:30", "12:31"], "is not a time that can be read"),
        (["2016-07-01", "2016-13-01"], "line 3, column t: .* is not a date of the calendar"),
        (["2016-07-01", "2016-02-30"], "line 3, column t: .* is not a date of the calendar"),
        (["2018-W53-1"], "is not a date of the calendar"),
        (["2016-07-01 24:30"], "is not a date of the calendar"),
        (["99999999999999999999", "1"], "1e\\+20 is neither a date nor a whole number"),
        (["2024.5", "7"], "2024.5 is neither a date nor a whole number"),
        (["0000-01-01"], "is not a date of the calendar"),
        (["2016-07-01 00:00:00.0000001"], "finer than a microsecond"),
        ([1.5, 2.5], "1.5 is neither a date nor a whole number"),
        ([[1], [2]], "are not times"),
    ],
)
def test_bad_times(texts, message):
    with pytest.raises(DataError, match=message):
        parse(*texts)


def test_a_given_order_that_does_not_fit():
    with pytest.raises(
        DataError, match='line 2, column t: "13/04/2020" is not a date of the calendar with the month first'
    ):
        parse("13/04/2020", "14/04/2020", reading=TimeReading(order="month"))
    with pytest.raises(DataError, match=r"line 3, column t: .* is not written as '%d/%m/%Y'"):
        parse("13/04/2020", "14.04.2020", reading=TimeReading("%d/%m/%Y"))


def test_no_format_is_found_twice():
    assert formats_of("2016-07-01 13:00:00") == ["%Y-%m-%d %H:%M:%S.%f"]
    assert formats_of("hello") == []
    assert formats_of("+09:00\t+09:00") == []


# order only, as long tables need it


@pytest.mark.parametrize(
    "times",
    [
        ["-1", "2", "10", "1,000"],
        ["0.25", "1e0", "1.5"],
        ["1600000000000000001", "1600000000000000002"],
        ["2023-12-31 00:00", "2024-01-01 00:00", "2024-01-01 9:30", "2024-01-01 12:30"],
        ["2024-01-01T00:00:00Z", "2024-01-01T10:00:00+09:00", "2024-01-01T02:00:00Z"],
        ["2024-01-01T00:00:00.000000001Z", "2024-01-01T00:00:00.000000002Z"],
        ["2024.1.5", "2024.2.1", "2024.10.3"],
        ["2024.1", "2024.2", "2024.10"],
        ["1600-01-01", "2024-01-01"],
        [1, 2, 30],
        [0.5, 0.75],
        [dt.date(2024, 1, 1), dt.date(2024, 2, 1)],
        [dt.datetime(2024, 1, 1, 3), dt.datetime(2024, 1, 1, 4)],
        [dt.time(1), dt.time(2)],
        pd.to_datetime(["2024-01-01T00:00:00.000000001", "2024-01-01T00:00:00.000000002"]).as_unit("ns"),
    ],
)
def test_order(times):
    found = parse_times(pa.chunked_array([pa.array(times)]), name="t", where=str, order_only=True).instants
    assert (np.diff(found.astype(np.float64 if found.dtype.kind == "f" else np.int64)) > 0).all()


# zones


def test_offsets_that_change():
    times = parse("2022-10-30 02:00+02:00", "2022-10-30 02:00+01:00", "2022-10-30 03:00+01:00")
    assert np.diff(times.instants).tolist() == [dt.timedelta(hours=1)] * 2
    assert times.zone is not None
    assert times.zone.wall(times.instants).tolist() == times.values.tolist()
    coming = times.instants[-1:] + np.timedelta64(1, "h")
    wall = times.zone.wall(coming)
    assert times.spelling.write(wall, times.zone.offset(coming)) == ["2022-10-30 04:00+01:00"]


@pytest.mark.parametrize("name", ["UTC", "Asia/Seoul", "America/New_York", "Australia/Lord_Howe"])
def test_a_zone_agrees_with_pandas(name):
    hours = pd.date_range("2022-01-01", "2023-01-01", freq="30min", tz="UTC")
    instants = hours.tz_localize(None).to_numpy().astype("datetime64[us]")
    zone = Zone(name)
    wall = hours.tz_convert(name).tz_localize(None).to_numpy().astype("datetime64[us]")
    assert (zone.wall(instants) == wall).all()
    back = zone.instants(wall)
    assert (zone.wall(back) == wall).all()
    assert (back != instants).sum() <= 4  # of an hour that occurs twice, the first is taken


def test_an_unknown_zone():
    with pytest.raises(DataError, match="the time zone Mars/Olympus cannot be used"):
        Zone("Mars/Olympus").wall(np.zeros(1, "datetime64[us]"))


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
        (days("2020-01-06", "2020-01-13", "2020-01-20"), "1 week"),
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
    with pytest.raises(DataError, match="time step"):
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


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [(["0,5", "1,25", "1.000,5"], [0.5, 1.25, 1000.5]), (["0.5", "1 000.5", "1'000.75"], [0.5, 1000.5, 1000.75])],
)
def test_numbers_that_only_order_rows_may_have_a_decimal_comma(texts, numbers):
    assert parse(*texts, order_only=True).values.tolist() == numbers


def test_another_order_than_in_training_is_reported():
    known = Spelling("%-m/%-d/%Y")
    days = [f"{day}/1/2023" for day in range(1, 20)]
    assert parse(*days, reading=TimeReading(known=known)).note == "the times are read day first: 1/1/2023 is 2023-01-01"
    assert parse("1/19/2023", "1/20/2023", reading=TimeReading(known=known)).note == ""
