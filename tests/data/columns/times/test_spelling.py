"""Times are written directive by directive."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recurra.data.columns.times.spelling import Spelling
from recurra.errors import DataError, UsageError


def write(format: str, *times: str, **options) -> list:
    return Spelling(format, **options).write(np.array(times, "datetime64[us]"))


@pytest.mark.parametrize(
    ("directive", "written"),
    [
        ("%Y", "2024"), ("%y", "24"), ("%m", "02"), ("%-m", "2"), ("%d", "05"), ("%-d", "5"), ("%H", "14"),
        ("%I", "02"), ("%-I", "2"), ("%M", "07"), ("%S", "09"), ("%G", "2024"), ("%V", "06"), ("%-V", "6"),
        ("%u", "1"), ("%q", "1"), ("%j", "036"), ("%b", "Feb"), ("%B", "February"), ("%^b", "FEB"), ("%a", "Mon"),
        ("%A", "Monday"), ("%^A", "MONDAY"), ("%Ea", "월"), ("%EA", "월요일"), ("%p", "PM"), ("%P", "pm"),
        ("%Ep", "오후"), ("%z", "+0000"), ("%:z", "+00:00"), ("%:::z", "+00"),
    ],
)  # fmt: skip
def test_every_directive(directive, written):
    assert write(f"<{directive}>%Y", "2024-02-05T14:07:09") == [f"<{written}>2024"]


@pytest.mark.parametrize(
    ("format", "time", "written"),
    [
        ("%Y %I %p", "2024-01-01T00", "2024 12 AM"),
        ("%Y %I %p", "2024-01-01T11", "2024 11 AM"),
        ("%Y %I %p", "2024-01-01T12", "2024 12 PM"),
        ("%Y %I %Ep", "2024-01-01T00", "2024 12 오전"),
        ("%Y %P", "2024-01-01T00", "2024 am"),
        ("%Yq%q", "2024-03-31", "2024q1"),
        ("%Yq%q", "2024-04-01", "2024q2"),
        ("%Yq%q", "2024-12-01", "2024q4"),
        ("%G-W%V-%u", "2021-01-03", "2020-W53-7"),
        ("%Y-%j", "2024-12-31", "2024-366"),
        ("%y", "2009-01-01", "09"),
        ("%B %Y", "2024-12-01", "December 2024"),
        ("%Y", "0005-01-01", "0005"),
    ],
)
def test_the_ends_of_ranges(format, time, written):
    assert write(format, time) == [written]


def test_fractions_have_as_many_digits_as_the_data():
    time = "2024-01-01T00:00:01.25"
    found = [write("%Y %S.%f", time, digits=digits) for digits in (1, 2, 6, 9)]
    assert found == [["2024 01.2"], ["2024 01.25"], ["2024 01.250000"], ["2024 01.250000000"]]


def test_midnight_may_be_that_of_the_day_before():
    times = ("2024-03-01T00:00", "2024-03-01T00:01", "2024-03-01T23:00")
    late = write("%Y-%m-%d %H:%M", *times, late_midnight=True)
    assert late == ["2024-02-29 24:00", "2024-03-01 00:01", "2024-03-01 23:00"]
    assert write("%Y-%m-%d %H:%M", *times)[0] == "2024-03-01 00:00"
    assert write("%Y-%m-%d", times[0], late_midnight=True) == ["2024-02-29"]


def test_offsets_are_written_as_in_the_data():
    times, hour = np.array(["2024-01-01"] * 3, "datetime64[us]"), 3_600_000_000
    offsets = np.array([9 * hour, -5 * hour - hour // 2, 0])
    found = [Spelling(f"%Y{directive}").write(times, offsets) for directive in ("%z", "%:z", "%:::z")]
    assert found == [
        ["2024+0900", "2024-0530", "2024+0000"],
        ["2024+09:00", "2024-05:30", "2024+00:00"],
        ["2024+09", "2024-05:30", "2024+00"],
    ]
    assert Spelling("%Y%z", zone="Z").write(times[:1], offsets[:1]) == ["2024Z"]


def test_iso_is_no_finer_than_needed():
    assert write("", "2024-01-01", "2024-01-02") == ["2024-01-01", "2024-01-02"]
    assert write("", "2024-01-01", "2024-01-02T01") == ["2024-01-01 00:00:00", "2024-01-02 01:00:00"]
    assert write("", "2024-01-01T00:00:00.5") == ["2024-01-01 00:00:00.500000"]
    days = np.array(["2024-01-01"], "datetime64[us]")
    assert Spelling().write(days, np.array([3_600_000_000])) == ["2024-01-01 00:00:00+01:00"]


def test_numbers():
    assert Spelling("number").write(np.array([1.0, 2.0])) == [1, 2]
    assert write("unix", "1970-01-01T00:00:02.5") == [2]
    assert write("unix-ms", "1970-01-01T00:00:02.5") == [2500]
    assert write("unix-us", "1970-01-01T00:00:02.5") == [2_500_000]


def test_years_up_to_9999():
    assert write("%Y", "9999-12-31T23:59") == ["9999"]
    with pytest.raises(DataError, match="after the year 9999"):
        write("%Y", "2024-01-01", "10000-01-01")


@pytest.mark.parametrize(
    "spelling", [Spelling("%Y", 9, zone="KST"), Spelling(), Spelling("%Y", 0), Spelling("number"), Spelling("unix")]
)
def test_spellings_of_a_model_folder_that_are_right(spelling):
    spelling.check()


@pytest.mark.parametrize(
    "spelling", [Spelling("%Y", 10), Spelling("%Y", -1), Spelling("%Y", zone="ABCD"), Spelling("", 10)]
)
def test_spellings_of_a_model_folder_that_are_wrong(spelling):
    with pytest.raises(ValueError, match="at most 9 digits, and a zone three letters"):
        spelling.check()
    with pytest.raises(UsageError):
        Spelling("%H").check()


def test_defaults():
    found = Spelling()
    assert (found.format, found.digits, found.late_midnight, found.zone) == ("", 0, False, "")


@pytest.mark.parametrize("value", [Spelling()], ids=lambda value: type(value).__name__)
def test_spellings_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
