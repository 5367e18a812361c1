"""Offsets from UTC: read, written, and valid from an instant on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recurra.data.columns.times.zones import Zone, offset_of, write_offset

MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("Z", 0), ("utc", 0), ("GMT", 0), ("KST", 540), ("kst", 540), ("+09:00", 540), ("-05:30", -330),
        ("-0530", -330), ("+09", 540), ("-00:15", -15),
    ],
)  # fmt: skip
def test_offsets_are_read(text, minutes):
    assert offset_of(text) == minutes * MINUTE


def test_offsets_are_written():
    assert [write_offset(m * MINUTE) for m in (0, 540, -330, -15)] == ["+00:00", "+09:00", "-05:30", "-00:15"]
    assert write_offset(-330 * MINUTE, "") == "-0530"
    assert [write_offset(m * MINUTE, "", False) for m in (540, 330)] == ["+09", "+0530"]


def test_offsets_of_rows_hold_from_their_instant_on():
    instants = np.array([30, 10, 20, 40], "datetime64[us]")
    zone = Zone.of_rows(instants, np.array([7, 5, 5, 7]))
    assert (zone.name, zone.since, zone.offsets) == ("", (10, 30), (5, 7))
    at = np.array([0, 10, 29, 30, 99], "datetime64[us]")
    assert zone.offset(at).tolist() == [5, 5, 5, 7, 7]
    assert zone.wall(at).astype(np.int64).tolist() == [5, 15, 34, 37, 106]
    assert zone.instants(zone.wall(at)).astype(np.int64).tolist() == [0, 10, 29, 30, 99]
    fallen = Zone.of_rows(np.array([10, 20], "datetime64[us]"), np.array([7, 5]))
    assert (fallen.since, fallen.offsets) == ((10, 20), (7, 5))


def test_of_two_instants_the_earlier_is_taken():
    zone = Zone("Europe/Berlin")
    wall = np.array(["2024-10-27T02:30", "2024-03-31T02:30"], "datetime64[us]")
    found = zone.instants(wall).astype("datetime64[m]").astype(str).tolist()
    assert found == ["2024-10-27T00:30", "2024-03-31T01:00"]
    assert zone.offset(wall).tolist() == [60 * MINUTE, 120 * MINUTE]
    assert zone.wall(np.array(["2024-07-01"], "datetime64[us]"))[0] == np.datetime64("2024-07-01T02")


@pytest.mark.parametrize("value", [Zone()], ids=lambda value: type(value).__name__)
def test_zones_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
