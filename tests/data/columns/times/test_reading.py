"""Texts are read by one format: what fits, what is a time, and how exactly it was written."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recurra.data.columns.times.reading import read_format, without_flags
from recurra.data.columns.times.spelling import Spelling


def read(format, *texts, **options):
    return read_format(pa.array(texts, pa.large_string()), format, **options)


@pytest.mark.parametrize(
    ("format", "text", "good"),
    [
        ("%Y-%m-%d", "2024-02-29", True), ("%Y-%m-%d", "2023-02-29", False), ("%Y-%m-%d", "2024-00-01", False),
        ("%Y-%m-%d", "2024-12-01", True), ("%Y-%m-%d", "2024-13-01", False), ("%Y-%m-%d", "2024-01-00", False),
        ("%Y-%m-%d", "0000-01-01", False), ("%Y-%m-%d", "0001-01-01", True), ("%Y-%m-%d", "9998-12-31", True),
        ("%Y-%m-%d", "9999-01-01", False),
        ("%Y %H:%M:%S", "2024 23:59:59", True), ("%Y %H:%M:%S", "2024 23:60:00", False),
        ("%Y %H:%M:%S", "2024 23:00:60", False), ("%Y %H:%M:%S", "2024 24:00:00", True),
        ("%Y %H:%M:%S", "2024 24:00:01", False), ("%Y %H:%M:%S", "2024 24:01:00", False),
        ("%Y %H:%M:%S", "2024 25:00:00", False),
        ("%Y %I %p", "2024 12 AM", True), ("%Y %I %p", "2024 13 AM", False), ("%Y %I %p", "2024 0 AM", True),
        ("%G-W%V", "2020-W53", True), ("%G-W%V", "2021-W53", False), ("%G-W%V", "2021-W00", False),
        ("%G-W%V", "2021-W01", True), ("%G-W%V-%u", "2020-W53-7", True),
        ("%Y-%j", "2024-366", True), ("%Y-%j", "2023-366", False), ("%Y-%j", "2023-000", False),
        ("%Y-%j", "2023-001", True),
    ],
)  # fmt: skip
def test_what_is_a_time_of_the_calendar(format, text, good):
    found = read(format, text)
    assert (found.fits.tolist(), found.good.tolist()) == ([True], [good])


def test_what_does_not_fit():
    found = read("%Y-%m-%d", "2024-01-01", "soon", "2024-1-1x")
    assert found.fits.tolist() == found.good.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("format", "text", "time"),
    [
        ("%y-%m-%d", "68-01-01", "2068-01-01"), ("%y-%m-%d", "69-01-01", "1969-01-01"),
        ("%Y %q분기", "2024 1분기", "2024-01-01"), ("%Y %q분기", "2024 4분기", "2024-10-01"),
        ("%Y-%j", "2024-060", "2024-02-29"),
        ("%G-W%V", "2021-W01", "2021-01-04"), ("%G-W%V", "2020-W01", "2019-12-30"),
        ("%G-W%V-%u", "2020-W01-3", "2020-01-01"), ("%G-W%V", "2016-W01", "2016-01-04"),
        ("%d %b %Y", "5 sept 2024", "2024-09-05"), ("%d %b %Y", "5 DEC 2024", "2024-12-05"),
        ("%d %B %Y", "5 January 2024", "2024-01-05"),
        ("%Y", "2024", "2024-01-01"), ("%Y-%m", "2024-03", "2024-03-01"),
        ("%Y %I:%M %p", "2024 12:30 am", "2024-01-01T00:30"), ("%Y %I:%M %p", "2024 12:30 PM", "2024-01-01T12:30"),
        ("%Y %I:%M %p", "2024 1:30 오후", "2024-01-01T13:30"), ("%Y %I:%M %p", "2024 1:30 오전", "2024-01-01T01:30"),
        ("%Y %I:%M", "2024 1:30", "2024-01-01T01:30"),
        ("%Y-%m-%d %H:%M:%S", "2024-02-28 24:00:00", "2024-02-29"),
        ("%Y %H:%M:%S.%f", "2024 01:02:03.25", "2024-01-01T01:02:03.25"),
        ("%Y %H:%M:%S.%f", "2024 01:02:03", "2024-01-01T01:02:03"),
        ("%Y %H:%M:%S.%f", "2024 01:02:03.000001", "2024-01-01T01:02:03.000001"),
    ],
)  # fmt: skip
def test_the_time_that_is_read(format, text, time):
    found = read(format, text)
    assert found.good.all()
    assert found.times[0] == np.datetime64(time)
    assert found.times.dtype == "datetime64[us]"
    assert found.offsets is None


def test_nanoseconds_are_kept_where_there_are_some():
    found = read("%Y %H:%M:%S.%f", "2024 00:00:00.000000001", "2024 00:00:00.000001")
    assert found.times.dtype == "datetime64[ns]"
    assert (found.times - np.datetime64("2024-01-01", "ns")).astype(np.int64).tolist() == [1, 1000]


def test_years_of_compact_dates_are_those_of_our_age():
    texts = ("17991231", "18000101", "21991231", "22000101")
    assert read("%Y%m%d", *texts, any_year=False).good.tolist() == [False, True, True, False]
    assert read("%Y%m%d", *texts).good.all()


def test_offsets_of_each_row():
    hour = 3_600_000_000
    found = read("%Y-%m-%d %z", "2024-01-01 +09:00", "2024-01-01 Z", "2024-01-01 -0530", "2024-01-01 +09:00")
    assert found.offsets.tolist() == [9 * hour, 0, -11 * hour // 2, 9 * hour]


@pytest.mark.parametrize(
    ("format", "texts", "exact"),
    [
        ("%Y-%m-%d", ["2024-1-5"], Spelling("%Y-%-m-%-d")),
        ("%Y-%m-%d", ["2024-01-05"], Spelling("%Y-%m-%d")),
        ("%Y-%m-%d", ["2024-11-15", "2024-1-15"], Spelling("%Y-%-m-%-d")),
        ("%Y-%m-%d", ["2024-11-15", "2024-01-15"], Spelling("%Y-%m-%d")),
        ("%Y-%m-%d", ["2024-11-15"], Spelling("%Y-%m-%d")),
        ("%Y-%m-%d %H:%M:%S.%f", ["2024-11-15 10:00:00"], Spelling("%Y-%m-%d %H:%M:%S")),
        ("%Y-%m-%d %H:%M:%S.%f", ["2024-11-15 10:00:00.250"], Spelling("%Y-%m-%d %H:%M:%S.%f", 3)),
        ("%Y-%m-%d %H:%M:%S.%f", ["2024-11-15 10:00:00.5", "2024-11-15 10:00:00.25"],
         Spelling("%Y-%m-%d %H:%M:%S.%f", 2)),
        ("%Y-%m-%d %H:%M", ["2024-11-15 24:00"], Spelling("%Y-%m-%d %H:%M", 0, True)),
        ("%Y-%m-%d %H:%M", ["2024-11-15 24:00", "2024-11-15 00:00"], Spelling("%Y-%m-%d %H:%M")),
        ("%Y %z", ["2024 Z"], Spelling("%Y %:z", zone="Z")),
        ("%Y %z", ["2024 Z", "2024 +09:00"], Spelling("%Y %:z")),
        ("%Y %z", ["2024 +0900"], Spelling("%Y %z")),
        ("%Y %z", ["2024 +09:00"], Spelling("%Y %:z")),
        ("%Y %z", ["2024 +09"], Spelling("%Y %:::z")),
        ("%b %Y", ["Jan 2024"], Spelling("%b %Y")), ("%b %Y", ["JAN 2024"], Spelling("%^b %Y")),
        ("%b %Y", ["January 2024"], Spelling("%B %Y")), ("%b %Y", ["MARCH 2024"], Spelling("%^B %Y")),
        ("%b %Y", ["May 2024"], Spelling("%b %Y")), ("%B %Y", ["May 2024"], Spelling("%B %Y")),
        ("%B %Y", ["Jan 2024"], Spelling("%B %Y")),
        ("%Y %p %I", ["2024 오전 1"], Spelling("%Y %Ep %-I")), ("%Y %p %I", ["2024 am 01"], Spelling("%Y %P %I")),
        ("%Y %p %I", ["2024 AM 11"], Spelling("%Y %p %I")),
        ("%Y (%a)", ["2024 (월)"], Spelling("%Y (%Ea)")), ("%Y (%a)", ["2024 (월요일)"], Spelling("%Y (%EA)")),
        ("%Y (%a)", ["2024 (Mon)"], Spelling("%Y (%a)")), ("%Y (%a)", ["2024 (Monday)"], Spelling("%Y (%A)")),
    ],
)  # fmt: skip
def test_the_spelling_is_that_of_the_texts(format, texts, exact):
    assert read(format, *texts).spelling == exact


def test_flags_and_fractions_do_not_bind_later_data():
    formats = {
        "%Y-%-m-%-d": "%Y-%m-%d", "%^b %Ep %:::z %:z": "%b %p %z %z", "%H:%M:%S": "%H:%M:%S.%f",
        "%H:%M:%S.%f": "%H:%M:%S.%f", "%Y": "%Y",
    }  # fmt: skip
    assert {format: without_flags(Spelling(format)) for format in formats} == formats
