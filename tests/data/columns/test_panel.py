"""Series from tables and arrays: sorted, checked, repaired only where it is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from recurra.data.columns import panel_table
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
    with pytest.raises(UsageError, match="y cannot have two roles"):
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


# columns


def test_columns_take_the_names_of_the_file():
    assert Columns().names == []
    assert Columns("t").times == ("t",)
    assert Columns(("d", "c")).times == ("d", "c")
    assert Columns().times == ()
    every = Columns(("1", "2"), ("4",), ("5", "6"), ("7",), "3")
    assert every.names == list("1234567")
    assert every.called(list("abcdefg")) == Columns(("a", "b"), ("d",), ("e", "f"), ("g",), "c")
    assert Columns("1", ("2",)).called(["t", "y"]) == Columns("t", ("y",))
    assert Columns(None, ("1",)).called(["y"]) == Columns(None, ("y",))
    assert Columns(("1",), ("2",)).called(["t", "y"]).time == "t"


def test_columns_of_numbers_are_targets_unless_named():
    table = pa.table(
        {
            "t": ["x"], "i": [1], "f": [1.0], "b": [True], "s": ["a"],
            "d": pa.array([1]).cast(pa.decimal128(25, 2)), "k": [2],
        }
    )  # fmt: skip
    chosen, columns = choose(table, Columns("t", known=("k",)))
    assert columns.target == ("i", "f", "d")
    assert chosen.column_names == ["t", "i", "f", "d", "k"]
    assert choose(table, Columns(None, ("f", "i")))[0].column_names == ["f", "i"]
    with pytest.raises(DataError, match="no column of numbers is left to forecast"):
        choose(table.select(["t", "s"]), Columns("t"))


# the panel


def test_a_part_of_a_panel():
    table = {"t": [*HOURS[:2]] * 2, "s": list("aabb"), "y": list("1234")}
    found = panel(table, Columns("t", ("y",), id="s"))
    assert len(found) == 2
    assert found.labels.to_pylist() == ["a", "b"]
    part = found[1:]
    assert ([s.id for s in part.series], part.labels.to_pylist(), len(part)) == (["b"], ["b"], 1)
    assert found.types == (pa.string(),)
    alone = panel({"t": HOURS[:2], "y": list("12")}, ONE)
    assert (alone.labels, alone[:1].labels, alone.series[0].id) == (None, None, None)
    assert alone.notes == []


def test_labels_are_the_first_of_each_series_in_their_type():
    table = pa.table({"s": [7, 3, 7], "y": [1.0, 2.0, 3.0]})
    found = panel_of_table(table, Columns(None, ("y",), id="s"), str)
    assert found.labels.to_pylist() == [7, 3]
    assert [s.id for s in found.series] == ["7", "3"]
    assert [s.values[:, 0].tolist() for s in found.series] == [[1, 3], [2]]
    assert found.types == ()


def test_times_of_a_panel_are_local_and_instants_in_utc():
    times = ["2024-03-01 00:00+09:00", "2024-03-01 01:00+09:00"]
    found = panel({"t": times, "y": list("12")}, ONE)
    (series,) = found.series
    at = np.array([0, 2])
    assert found.frequency.absolute
    assert series.origin == np.datetime64("2024-02-29T15:00")
    assert found.times(series, at).astype("datetime64[h]").astype(str).tolist() == ["2024-03-01T00", "2024-03-01T02"]
    assert found.instants(series, at).astype("datetime64[h]").astype(str).tolist() == ["2024-02-29T15", "2024-02-29T17"]
    assert found.spelt(series, at) == ["2024-03-01 00:00+09:00", "2024-03-01 02:00+09:00"]
    days = panel({"t": ["2024-03-01 00:00+09:00", "2024-03-02 00:00+09:00"], "y": list("12")}, ONE)
    assert not days.frequency.absolute
    (series,) = days.series
    assert days.times(series, at).astype("datetime64[h]").astype(str).tolist() == ["2024-03-01T00", "2024-03-03T00"]
    assert days.instants(series, at).astype("datetime64[h]").astype(str).tolist() == ["2024-02-29T15", "2024-03-02T15"]
    assert days.spelt(series, at)[1] == "2024-03-03 00:00+09:00"
    plain = panel({"t": HOURS[:2], "y": list("12")}, ONE)
    assert plain.instants(plain.series[0], at).tolist() == plain.times(plain.series[0], at).tolist()


def test_times_in_parts_are_written_in_parts():
    table = {"d": ["2024-03-01"] * 2, "c": ["00:00", "01:00"], "y": list("12")}
    found = panel(table, Columns(("d", "c"), ("y",)))
    at = np.array([1, 24])
    assert found.parts(found.series[0], at) == (["2024-03-01", "2024-03-02"], ["01:00", "00:00"])
    assert found.spelt(found.series[0], at) == ["2024-03-01 01:00", "2024-03-02 00:00"]
    assert found.types == (pa.string(), pa.string())
    one = panel({"t": HOURS[:2], "y": list("12")}, ONE)
    assert one.parts(one.series[0], at[:1]) == ([HOURS[1]],)
    numbers = panel({"t": ["5", "6"], "y": list("12")}, ONE)
    assert numbers.spelt(numbers.series[0], np.array([2])) == [7]


# gaps, doubles and times off the clock


def test_a_time_given_twice_names_series_and_advice():
    table = {"t": [HOURS[0], HOURS[1], HOURS[1]], "y": list("123")}
    with pytest.raises(DataError) as error:
        panel(table, ONE)
    assert str(error.value) == (
        "f.csv, line 4: the time 2024-03-01 01:00 occurs a second time, first in f.csv, line 3\n"
        "leave one of the rows out, or name the column that tells several series apart with --id"
        "; if the clock was set back there, give the times with their offset (2024-03-01 01:00+01:00), or in UTC"
    )
    with pytest.raises(DataError, match=r"01:00 of the series a occurs a second time.*\nleave one of the rows out; if"):
        panel({**table, "s": list("aaa")}, Columns("t", ("y",), id="s"))


@pytest.mark.parametrize(
    ("time", "advised"),
    [
        ("2024-11-03 03:59", True),
        ("2024-11-03 04:00", False),
        ("2024-12-03 01:00", False),
        ("2024-10-27 02:00", True),
        ("2024-09-01 02:00", True),
        ("2024-04-01 02:00", True),
        ("2024-05-01 02:00", False),
        ("2024-02-01 02:00", False),
        ("2024-11-03 01:00+01:00", False),
    ],
)
def test_a_clock_that_was_set_back_is_mentioned_where_it_may_be(time, advised):
    with pytest.raises(DataError, match="occurs a second time") as error:
        panel({"t": [time, time], "y": list("12")}, ONE)
    assert ("the clock was set back" in str(error.value)) is advised


@pytest.mark.parametrize(
    ("times", "advised"),
    [
        (["2024-03-10 00:00", "2024-03-10 01:00", "2024-03-10 03:00"], True),
        (["2024-03-09 23:00", "2024-03-10 00:00", "2024-03-10 01:00", "2024-03-10 04:00"], False),
        (["2024-07-10 00:00", "2024-07-10 01:00", "2024-07-10 03:00"], False),
        (["2024-03-10 01:00", "2024-03-10 01:30", "2024-03-10 02:00", "2024-03-10 03:30"], True),
        (["2024-03-10 00:00", "2024-03-10 01:00", "2024-03-10 02:00", "2024-03-12 02:00"], False),
    ],
)
def test_a_clock_that_was_set_forward_is_mentioned_where_it_may_be(times, advised):
    with pytest.raises(DataError, match="a gap in the time") as error:
        panel({"t": times, "y": ["1"] * len(times)}, ONE)
    assert ("the clock was set forward" in str(error.value)) is advised


def test_gaps_are_counted():
    with pytest.raises(DataError, match=r"line 6: a gap.*1 step of 1 hour missing; 2 more gaps follow\nfill the rows"):
        panel({"t": [f"2024-03-01 {i:02}:00" for i in (0, 1, 2, 3, 5, 6, 8, 9, 11)], "y": list("123456789")}, ONE)
    with pytest.raises(DataError, match=r"1 step of 1 hour missing; 1 more gap follow\n"):
        panel({"t": [HOURS[i] for i in (0, 1, 2, 4, 5, 7)], "y": list("123456")}, ONE)
    with pytest.raises(DataError, match=r"2 steps of 1 hour missing\n"):
        panel({"t": [HOURS[i] for i in (0, 1, 2, 5)], "y": list("1234")}, ONE)


def test_numbers_of_six_digits_may_be_dates():
    for times, said in ((["100001", "100002", "100005"], True), (["10001", "10002", "10005"], False)):
        with pytest.raises(DataError, match="a gap in the time") as error:
            panel({"t": times, "y": ["1"] * 3}, ONE, reading=TimeReading("number"))
        assert ("if the numbers are dates" in str(error.value)) is said


def test_the_most_steps_that_gaps_may_add(monkeypatch):
    monkeypatch.setattr(panel_table, "MOST_STEPS", 10)
    monkeypatch.setattr(panel_table, "MOST_GAPS", 2)
    times = {"t": ["1", "2", "17"], "y": list("123")}
    assert len(panel(times, ONE, fill_gaps=True).series[0]) == 17
    with pytest.raises(DataError, match=r"line 4: the time 18 comes after 2: 15 missing steps of 1 are too many"):
        panel({**times, "t": ["1", "2", "18"]}, ONE, fill_gaps=True)


def test_a_time_off_the_clock_names_the_row_before():
    with pytest.raises(DataError) as error:
        panel({"t": [*HOURS[:3], "2024-03-01 02:20"], "y": ["1"] * 4}, ONE)
    assert "after 2024-03-01 02:00 a step of 1 hour leads elsewhere\nbring the series to equal steps" in str(
        error.value
    )


@pytest.mark.parametrize(("last", "advised"), [(11, True), (12, True), (13, False)])
def test_an_order_that_could_be_the_other_is_mentioned(last, advised):
    reading = TimeReading(known=Spelling("%-d/%-m/%Y"))
    dates = {"t": ["1/1/2023", "2/1/2023", f"{last}/1/2023"], "y": ["1", "2", "3"]}
    with pytest.raises(DataError, match="a gap in the time") as error:
        panel(dates, ONE, reading=reading)
    assert ("if the month comes first in these dates, give --month-first" in str(error.value)) is advised


def test_columns_unlike_those_of_training_are_refused():
    with pytest.raises(DataError, match=r"^the column t holds dates, unlike the model's training data$"):
        panel(
            {"t": HOURS[:2], "y": list("12")}, ONE, frequency=Frequency("number"), reading=TimeReading("%Y-%m-%d %H:%M")
        )
    with pytest.raises(DataError, match=r"^the column t holds numbers, unlike the model's training data$"):
        panel({"t": ["1", "2"], "y": list("12")}, ONE, frequency=Frequency("month"))


def test_a_single_row_has_a_step_of_its_kind():
    assert panel({"t": HOURS[:1], "y": ["1"]}, ONE).frequency == Frequency("fixed")
    assert panel({"t": ["5"], "y": ["1"]}, ONE).frequency == Frequency("number")
    assert panel({"t": ["5", "7"], "y": ["1", "2"]}, ONE).frequency == Frequency("number", 2)


def test_repairs_are_noted_over_all_series():
    table = {
        "t": ["1", "2", "4", "1", "2", "3"], "s": list("aaabbb"), "y": ["1", "", "3", "4", "", "6"],
        "f": ["", "1", "1", "1", "1", ""], "k": ["0", "0", "0", "0", "", "0"],
    }  # fmt: skip
    found = panel(table, Columns("t", ("y",), ("f",), ("k",), "s"), fill_gaps=True)
    last = ": the last value is used and marked as missing for the network"
    assert found.notes == [
        "1 missing step inserted (--fill-gaps)",
        f"3 missing values in y{last}",
        f"3 missing values in f{last}",
        f"2 missing values in k{last}",
    ]
    np.testing.assert_array_equal(found.series[0].features[:, 0], [np.nan, 1, np.nan, 1])
    np.testing.assert_array_equal(found.series[0].known[:, 0], [0, 0, np.nan, 0])


def test_a_row_counts_if_one_of_several_targets_is_there():
    found = panel({"t": list("1234"), "a": ["1", "", "", ""], "b": ["1", "", "2", ""]}, Columns("t", ("a", "b")))
    assert len(found.series[0]) == 3
    assert found.notes[0] == "the last 1 row have no target: they are the time to forecast"
    nothing = panel({"t": list("12"), "y": ["", ""]}, ONE)
    assert len(nothing.series[0]) == 0


def test_ids_are_checked():
    with pytest.raises(DataError, match=r"^f.csv, line 3, column s is empty: which series does the row belong to"):
        panel({"t": HOURS[:2], "s": ["a", " "], "y": list("12")}, Columns("t", ("y",), id="s"))
    nested = pa.table({"s": [[1], [2]], "y": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"^column s: values of type list.* cannot be ids"):
        panel_of_table(nested, Columns(None, ("y",), id="s"), str)


# known values of the time to come


def test_future_values_may_begin_within_the_history():
    columns, ahead = Columns("t", ("y",), known=("k",)), Columns("t", (), known=("k",))
    history = panel({"t": HOURS[:3], "y": list("123"), "k": list("000")}, columns)

    def future(begin, **options):
        texts = HOURS[begin : begin + 3]
        return panel({"t": texts, "k": list("111")}, ahead, frequency=history.frequency, **options)

    for begin in (0, 1, 3):
        joined = with_future(history, future(begin))
        assert joined.series[0].known[:, 0].tolist() == [0] * begin + [1, 1, 1]
        assert joined.series[0].values is history.series[0].values
    with pytest.raises(DataError, match="they must begin at 2024-03-01 03:00"):
        with_future(history, future(4))
    with pytest.raises(DataError, match="begin at 2024-02-29 23:00; they must begin at 2024-03-01 03:00"):
        with_future(history, panel({"t": ["2024-02-29 23:00"], "k": ["1"]}, ahead, frequency=history.frequency))
    between = panel({"t": ["2024-03-01 01:30"], "k": ["1"]}, ahead, frequency=history.frequency)
    with pytest.raises(DataError, match="begin at 2024-03-01 01:30"):
        with_future(history, between)
    zoned = panel({"t": ["2024-03-01 03:00+00:00"], "k": ["1"]}, ahead, frequency=history.frequency)
    with pytest.raises(DataError, match="must both have a time zone, or none"):
        with_future(history, zoned)


def test_future_values_of_several_series():
    columns, ahead = Columns("t", ("y",), known=("k",), id="s"), Columns("t", (), known=("k",), id="s")
    history = panel({"t": list("1212"), "s": list("aabb"), "y": list("1234"), "k": list("0000")}, columns)
    found = with_future(history, panel({"t": list("33"), "s": list("ba"), "k": list("56")}, ahead))
    assert [s.known[:, 0].tolist() for s in found.series] == [[0, 0, 6], [0, 0, 5]]
    with pytest.raises(DataError, match="the future values hold no series b"):
        with_future(history, panel({"t": ["3"], "s": ["a"], "k": ["6"]}, ahead))
    with pytest.raises(DataError, match=r"^the future values of the series a begin at 4; they must begin at 3$"):
        with_future(history, panel({"t": list("44"), "s": list("ba"), "k": list("56")}, ahead))


def test_arrays_beside_arrays():
    found = panel_of_arrays(np.arange(3.0), np.ones((3, 2)), np.ones(5))
    (series,) = found.series
    assert (series.id, series.origin, found.columns.id, len(series)) == (None, 0, None, 3)
    assert (series.values.shape, series.features.shape, series.known.shape) == ((3, 1), (3, 2), (5, 1))
    assert found.columns == Columns(None, ("y0",), ("feature0", "feature1"), ("known0",))
    assert found.frequency == Frequency("number")
    several = panel_of_arrays([[1.0, 2.0], [3.0]], [[1.0, 1.0], [1.0]], [[0.0] * 3, [0.0]])
    assert [s.id for s in several.series] == ["0", "1"]
    assert [len(s.known) for s in several.series] == [3, 1]
    assert several.columns.id == "id"
    assert panel_of_arrays([1.0, 2.0]).columns.id is None
    assert len(panel_of_arrays([]).series[0]) == 0
    assert panel_of_arrays(torch.tensor([1.0, 2.0], requires_grad=True)).series[0].values.tolist() == [[1.0], [2.0]]
    empty = panel_of_arrays([np.zeros((2, 2)), np.zeros(0)])
    assert empty.series[1].values.shape == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3), np.zeros(3), np.zeros(2)), "series 0 has 3 steps, 3 of features and 2 of known"),
        ((np.zeros(3), np.zeros(4)), "series 0 has 3 steps, 4 of features and 3 of known"),
        (([np.zeros(2), np.zeros(3)], [np.zeros(2), np.zeros(2)]), "series 1 has 3 steps, 2 of features"),
        ((np.zeros(3), np.array([0, 1, -np.inf])), "features has an infinite value at step 2"),
        ((np.zeros(3), None, ["a", "b", "c"]), "known is neither a table nor numbers"),
        ((np.array([1j]),), "y holds complex numbers"),
        ((np.float64(1.0),), r"y has shape \(\); a series has shape"),
    ],
)
def test_arrays_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(DataError, match=message):
        panel_of_arrays(*arguments)


@pytest.mark.parametrize(
    "value", [ONE, panel_of_arrays([1.0]), panel_of_arrays([1.0]).series[0]], ids=lambda value: type(value).__name__
)
def test_columns_and_panels_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
