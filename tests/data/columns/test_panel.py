"""Series from tables and arrays: sorted, checked, repaired only where it is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recurra.data.columns.frames import as_table
from recurra.data.columns.frequency import Frequency
from recurra.data.columns.panel import Columns, panel_of_arrays, with_future
from recurra.data.columns.panel_table import HOUR, choose, panel_of_table
from recurra.data.columns.timestamps import Spelling, TimeReading
from recurra.errors import DataError, UsageError

HOURS = [f"2024-03-01 {hour:02}:00" for hour in range(8)]


def panel(table: dict, columns: Columns, **options):
    chosen = pa.table({name: table[name] for name in columns.names})
    return panel_of_table(chosen, columns, lambda row: f"f.csv, line {row + 2}", **options)


ONE = Columns("t", ("y",))


def test_unsorted_rows_are_sorted_and_that_is_said():
    found = panel({"t": HOURS[2::-1], "y": ["3", "2", "1"]}, ONE)
    assert found.series[0].values[:, 0].tolist() == [1, 2, 3]
    assert found.notes == ["rows were not in the order of time: sorted"]
    assert found.spelt(found.series[0], np.array([0, 3])) == [HOURS[0], HOURS[3]]


def test_several_series_of_unequal_length():
    table = {"t": [*HOURS[:3], *HOURS[1:3], HOURS[0]], "s": list("aaabbc"), "y": ["1", "2", "3", "4", "5", ""]}
    found = panel(table, Columns("t", ("y",), id="s"))
    assert [s.id for s in found.series] == ["a", "b", "c"]
    assert [len(s) for s in found.series] == [3, 2, 0]
    assert found.series[1].origin == np.datetime64(HOURS[1])


def test_rows_without_times_follow_each_other():
    found = panel({"s": list("abab"), "y": [1.0, 2.0, 3.0, 4.0]}, Columns(None, ("y",), id="s"))
    assert [s.values[:, 0].tolist() for s in found.series] == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [0, 1, 2, 5, 6],
            "line 5: a gap in the time: 2024-03-01 05:00 comes after 2024-03-01 02:00, 2 steps of 1 hour",
        ),
        ([0, 1, 2, 2, 3], "line 5: the time 2024-03-01 02:00 occurs a second time, first in f.csv, line 4"),
    ],
)
def test_a_broken_clock_is_an_error(rows, message):
    with pytest.raises(DataError, match=message):
        panel({"t": [HOURS[i] for i in rows], "y": ["1"] * len(rows)}, ONE)


@pytest.mark.parametrize(
    ("times", "advice"),
    [
        (["202251", "202252", "202301"], r"48 steps of 1 missing\n.*dates, give their --time-format, such as %y%m%d"),
        (["1", "2", "5"], r"2 steps of 1 missing\n.* as missing values$"),
    ],
)
def test_a_gap_between_numbers(times, advice):
    with pytest.raises(DataError, match=advice):
        panel({"t": times, "y": ["1"] * 3}, ONE)


@pytest.mark.parametrize(("step", "place"), [("day", "a gap in the time"), ("month", "is off the clock")])
def test_dates_with_day_and_month_the_other_way_round_name_the_option(step, place):
    known = {"day": Frequency("fixed", 24 * HOUR), "month": Frequency("month")}[step]
    first, other = ("%-m", "%-d") if step == "day" else ("%-d", "%-m")
    reading = TimeReading(known=Spelling(f"{first}/{other}/%Y"))
    dates = {"t": ["1/1/2023", "2/1/2023", "3/1/2023"], "y": ["1", "2", "3"]}
    with pytest.raises(DataError, match=rf"{place}[^\n]*\n.*if the {step} comes first .* give --{step}-first"):
        panel(dates, ONE, frequency=known, reading=reading)


def test_a_gap_that_no_memory_could_hold_is_an_error():
    texts = ["2024-03-01 00:00:00", "2024-03-01 00:00:01", "2924-03-01 00:00:02"]
    table = pa.table({"t": texts, "y": ["1", "2", "3"]})
    with pytest.raises(DataError, match=r"2: the time 2924.* missing steps of 1 second are too many to be filled"):
        panel_of_table(table, Columns("t", ("y",)), str, fill_gaps=True)


@pytest.mark.parametrize(("zone", "start"), [("America/Sao_Paulo", "2017-09-01"), ("Asia/Beirut", "2022-03-01")])
def test_a_day_without_a_midnight(zone, start):
    days = pd.date_range(start, periods=100, freq="D").tz_localize(zone, nonexistent="shift_forward")
    assert (days.hour == 1).any()
    panel = panel_of_table(pa.table({"t": days[:90], "y": np.arange(90.0)}), Columns("t", ("y",)), str)
    assert str(panel.frequency) == "1 day"
    found = panel.instants(panel.series[0], np.arange(100))
    assert found.tolist() == days.tz_convert("UTC").tz_localize(None).to_pydatetime().tolist()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_shifts_of_a_local_clock_are_steps(zone):
    times = pd.date_range("2022-03-01 06:00", periods=600, freq="12h").tz_localize(zone)
    panel = panel_of_table(pa.table({"t": times, "y": np.arange(600.0)}), Columns("t", ("y",)), str)
    assert str(panel.frequency) == "12 hours"
    coming = panel.instants(panel.series[0], np.arange(598, 602))
    local = pd.date_range("2022-03-01 06:00", periods=602, freq="12h").tz_localize(zone)[598:]
    assert coming.tolist() == local.tz_convert("UTC").tz_localize(None).to_pydatetime().tolist()
    again = panel_of_table(
        pa.table({"t": times[40:], "y": np.arange(560.0)}), Columns("t", ("y",)), str, frequency=panel.frequency
    )
    assert len(again.series[0]) == 560


def test_a_time_off_the_clock_is_an_error():
    with pytest.raises(DataError, match="line 5: the time 2024-03-01 02:20 is off the clock"):
        panel({"t": [*HOURS[:3], "2024-03-01 02:20"], "y": ["1"] * 4}, ONE)


def test_gaps_are_filled_on_request():
    found = panel({"t": [HOURS[i] for i in (0, 1, 2, 5)], "y": list("1234")}, ONE, fill_gaps=True)
    np.testing.assert_array_equal(found.series[0].values[:, 0], [1, 2, 3, np.nan, np.nan, 4])
    assert found.notes[0] == "2 missing steps inserted (--fill-gaps)"


def test_missing_values_are_counted_and_the_rows_ahead_are_known():
    table = {"t": HOURS[:5], "y": ["1", "NA", "3", "", ""], "k": ["0", "1", "0", "1", "1"]}
    found = panel(table, Columns("t", ("y",), known=("k",)))
    (series,) = found.series
    assert len(series) == 3
    assert series.known[:, 0].tolist() == [0, 1, 0, 1, 1]
    assert found.notes == [
        "the last 2 rows have no target: they are the time to forecast",
        "1 missing value in y: the last value is used and marked as missing for the network",
    ]


def test_a_value_that_is_no_number_is_named():
    with pytest.raises(DataError, match='line 3, column y: "high" is not a number'):
        panel({"t": HOURS[:2], "y": ["1", "high"]}, ONE)


def test_a_column_cannot_be_two_things():
    with pytest.raises(UsageError, match="y cannot be two things"):
        _ = Columns("t", ("y",), known=("y",)).names


def test_future_values_join_on():
    columns = Columns("t", ("y",), known=("k",))
    history = panel({"t": HOURS[:3], "y": list("123"), "k": list("000")}, columns)
    ahead = Columns("t", (), known=("k",))
    joined = with_future(history, panel({"t": HOURS[3:6], "k": list("111")}, ahead, frequency=history.frequency))
    assert joined.series[0].known[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    late = panel({"t": HOURS[4:6], "k": list("11")}, ahead, frequency=history.frequency)
    with pytest.raises(DataError, match="begin at 2024-03-01 04:00; they must begin at 2024-03-01 03:00"):
        with_future(history, late)


# arrays and data frames


def test_arrays():
    assert len(panel_of_arrays(np.zeros(5)).series) == 1
    found = panel_of_arrays([np.zeros((5, 2)), np.zeros((0, 2)), np.zeros((3, 2))])
    assert [len(s) for s in found.series] == [5, 0, 3]
    assert found.columns.target == ("y0", "y1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "b"],), "neither a table nor numbers"),
        ((np.zeros((2, 3, 4)),), "shape"),
        (([np.zeros((3, 2)), np.zeros((3, 1))],), "series 1 has 1 targets"),
        ((np.zeros(5), np.zeros(4)), "4 of features"),
        ((np.array([0, np.inf]),), "infinite value at step 1"),
    ],
)
def test_bad_arrays(arguments, message):
    with pytest.raises(DataError, match=message):
        panel_of_arrays(*arguments)


def test_pandas_index_of_times():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]}, index=pd.date_range("2024-01-01", periods=2, name="day"))
    table, index = as_table(frame)
    assert index == "day"
    table, columns = choose(table, Columns(index))
    assert columns.target == ("a", "b")
    assert as_table(frame["a"])[0].column_names == ["a", "day"]
    assert as_table(np.zeros(3)) is None


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match='no column "price", did you mean "prices"'):
        choose(pa.table({"prices": [1.0]}), Columns(None, ("price",)))
