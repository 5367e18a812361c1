"""Cuts by time, and the steps of other data that a model has seen."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.data.columns.frequency import Frequency
from recurra.data.columns.panel import Columns, Panel, Series, panel_of_arrays
from recurra.data.columns.times.zones import Zone
from recurra.errors import UsageError
from recurra.tasks.forecast.split import Parts, Seen, SeenConfig, offsets_of, origin_of, parts_at, split_panel

HOUR = 3_600_000_000
DAYS, HOURS, MONTHS, NUMBERS = (
    Frequency("fixed", 24 * HOUR), Frequency("fixed", HOUR), Frequency("month"), Frequency("number", 10),
)  # fmt: skip


def series(origin, steps, unit="us", id="a"):
    empty = np.zeros((steps, 0))
    origin = np.datetime64(origin, unit) if isinstance(origin, str) else np.int64(origin)
    return Series(id, origin, np.arange(float(steps))[:, None], empty, empty)


def panel(*rows, frequency=DAYS, zone=None):
    return Panel(list(rows), Columns("t", ("y",), id="s"), frequency, zone=zone)


@pytest.mark.parametrize(
    ("cuts", "offset", "length", "parts"),
    [
        ((6, 8, 10), 0, 10, (6, 8, 10)),
        ((6, 8, 10), 3, 10, (3, 5, 7)),
        ((6, 8, 10), 7, 10, (0, 1, 3)),
        ((6, 8, 10), 10, 10, (0, 0, 0)),
        ((6, 8, 10), -2, 10, (8, 10, 10)),
        ((6, 8, 10), 0, 7, (6, 7, 7)),
        ((6, 8, 10), 0, 0, (0, 0, 0)),
    ],
)
def test_parts_of_a_series_that_begins_later(cuts, offset, length, parts):
    assert parts_at(cuts, offset, length) == Parts(*parts)


def test_offsets_are_counted_from_the_earliest_beginning_or_from_a_time():
    data = panel(series("2024-01-05", 4), series("2024-01-02", 4), series("2024-01-01", 0))
    assert origin_of(data) == np.datetime64("2024-01-02", "us")  # of a series with steps
    assert offsets_of(data) == [3, 0, -1]
    assert offsets_of(data, np.datetime64("2024-01-06", "us")) == [-1, -4, -5]
    empty = panel(series("2024-01-05", 0), series("2024-01-02", 0))
    assert origin_of(empty) == np.datetime64("2024-01-02", "us")
    assert offsets_of(panel_of_arrays([np.zeros(3), np.zeros(5)])) == [0, 0]


@pytest.mark.parametrize(
    ("frequency", "origins", "offsets"),
    [
        (DAYS, ["2024-01-01T00", "2024-01-03T12", "2024-01-03T00"], [0, 2, 2]),  # half a day is cut off
        (MONTHS, ["2024-01-01", "2024-03-20", "2024-03-01"], [0, 2, 2]),
        (MONTHS, ["2024-01-15", "2024-12-30", "2024-02-15"], [0, 11, 1]),
        (NUMBERS, [5, 38, 25], [0, 3, 2]),
    ],
)
def test_clocks_that_are_not_in_step(frequency, origins, offsets):
    data = panel(*(series(origin, 3) for origin in origins), frequency=frequency)
    assert offsets_of(data) == offsets
    first = data.series[0].origin
    assert offsets_of(data, data.series[1].origin)[0] == -offsets[1] - (offsets[1] > 0)  # rounded down
    assert offsets_of(data, first) == offsets


@pytest.mark.parametrize(
    ("total", "fraction", "horizon", "valid"),
    [
        (100, 0.1, 5, 10), (100, 0.1, 6, 11), (20, 0.1, 3, 5), (20, 0.1, 2, 3), (19, 0.1, 3, 4), (16, 0.1, 5, 5),
        (15, 0.1, 5, 5), (14, 0.1, 5, 0), (13, 0.1, 4, 4), (12, 0.1, 4, 4), (11, 0.1, 4, 0), (100, 0.5, 5, 50),
        (100, 0.0, 5, 0), (25, 0.1, 1, 2), (35, 0.1, 1, 4), (4, 0.1, 1, 1), (3, 0.1, 1, 1), (2, 0.1, 1, 0),
        (0, 0.1, 1, 0),
    ],
)  # fmt: skip
def test_the_size_of_a_validation_part(total, fraction, horizon, valid):
    [found] = split_panel(panel_of_arrays([np.zeros(total)]), None, fraction, horizon)
    assert found == Parts(total - valid, total, total)


@pytest.mark.parametrize(
    "split",
    [(float("nan"), 1), (float("inf"), 1), (1, float("nan")), (0.0, 0.5), (), (0.5, -0.1), (0.3, 0.3, 0.3, 0.1)],
)
def test_what_is_no_split(split):
    with pytest.raises(UsageError, match="two or three parts"):
        split_panel(panel_of_arrays([np.zeros(100)]), split, 0.1, 5)


def test_shares_may_be_rounded_and_rows_may_be_all():
    data = panel_of_arrays([np.zeros(30)])
    third = 1 / 3 + 2e-10
    assert split_panel(data, (third, third, third), 0.1, 5) == [Parts(10, 20, 30)]
    with pytest.raises(UsageError, match="more than 1"):
        split_panel(data, (0.5, 0.5, 1e-8), 0.1, 5)
    assert split_panel(data, (28, 2), 0.1, 5) == [Parts(28, 30, 30)]
    assert split_panel(data, (0.55, 0.05), 0.1, 5) == [Parts(16, 18, 18)]  # to the nearest row, of halves the even one


# what was seen


def test_seen_steps_are_stored_from_the_earliest_time_to_the_latest_cut():
    data = panel(series("2024-01-05", 10), series("2024-01-01", 10))
    seen = Seen.of(data, [Parts(1, 2, 9), Parts(6, 7, 8)])
    assert seen == Seen(int(np.datetime64("2024-01-01", "us").astype(np.int64)), [6, 7, 13], [], False)
    assert seen.parts(data) == [Parts(2, 3, 9), Parts(6, 7, 10)]
    assert seen.parts(panel(series("2023-12-31", 3), series("2024-01-14", 3))) == [Parts(3, 3, 3), Parts(0, 0, 0)]


@pytest.mark.parametrize(
    ("frequency", "zone", "utc"), [(HOURS, True, True), (HOURS, False, False), (DAYS, True, False)]
)
def test_an_origin_in_utc_is_stored_as_one(frequency, zone, utc):
    """Steps of elapsed time in a zone are counted in UTC; days are counted on the local clock."""
    zone = Zone("", (0,), (2 * HOUR,)) if zone else None
    data = panel(series("2024-01-01T05", 10), frequency=frequency, zone=zone)
    seen = Seen.of(data, [Parts(4, 6, 8)])
    assert seen.utc is utc
    assert seen.parts(data) == [Parts(4, 6, 8)]
    early = seen._replace(utc=False)  # the origin is what a clock showed: two hours later than UTC
    shifted = Parts(2, 4, 6) if utc else Parts(4, 6, 8)
    assert early.parts(data) == [shifted]
    assert Seen(0, [], []).utc is False


def test_series_without_times_are_known_by_their_content():
    first, second = np.arange(10.0), np.arange(20.0, 28.0)
    seen = Seen.of(panel_of_arrays([first, second]), [Parts(4, 6, 9), Parts(5, 8, 8)])
    assert (seen.origin, seen.cuts, seen.utc) == (None, [], False)
    assert [ends for ends, _ in seen.series] == [[4, 6, 9], [5, 8, 8]]
    changed = first.copy()
    changed[5] += 1
    later = first.copy()
    later[6] += 1  # behind the validation part: not a part of what identifies it
    found = seen.parts(panel_of_arrays([second, first, changed, later, first[:6], first[:5], np.arange(20.0, 40.0)]))
    none = Parts(0, 0, 0)
    assert found == [
        Parts(5, 8, 8), Parts(4, 6, 9), none, Parts(4, 6, 9), Parts(4, 6, 6), none, Parts(5, 8, 8),
    ]  # fmt: skip
    nothing = Seen.of(panel_of_arrays([first]), [Parts(0, 0, 0)])
    assert nothing.parts(panel_of_arrays([first])) == [none]
    assert nothing._replace(series=[([0, 0, 5], nothing.series[0][1])]).parts(panel_of_arrays([first])) == [none]


def test_what_a_folder_may_hold():
    assert SeenConfig(origin=None, cuts=[], series=[]).utc is False
    SeenConfig(origin=5, cuts=[1, 2, 3], series=[])
    for cuts in ([], [1, 2], [1, 2, 3, 4]):
        with pytest.raises(ValueError, match="ends of three parts"):
            SeenConfig(origin=5, cuts=cuts, series=[])
