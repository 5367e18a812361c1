"""Formats: their parts, their patterns, and those that a text may have."""

from __future__ import annotations

import re

import pytest

from recurra.data.columns.times.formats import MAX_FORMAT, check_format, formats_of, parts_of, pattern_of
from recurra.errors import UsageError


def test_parts_of_a_format():
    assert parts_of("%Y-%-m") == [("", "Y"), ("literal", "-"), ("-", "m")]
    assert parts_of("at %:::z.") == [("literal", "at "), (":::", "z"), ("literal", ".")]
    assert parts_of("%^b%Ep") == [("^", "b"), ("E", "p")]
    assert parts_of("") == []
    assert parts_of("x") == [("literal", "x")]


@pytest.mark.parametrize(
    ("format", "fits", "others"),
    [
        ("%Y-%m-%d", ["2024-1-05", "2024-11-5"], ["24-1-5", "2024-111-5", "x2024-1-5", "2024-1-5x"]),
        ("%Y%m%d", ["20240105"], ["2024015", "202401055"]),
        ("%y%m", ["2401"], ["241"]),
        ("%H:%M:%S.%f", ["1:2:3", "1:2:3.123456789", "01:02:03.5"], ["1:2:3.", "1:2:3.1234567890", "1:2"]),
        ("%S,%f", ["3,5", "3"], ["3.5"]),
        ("%Y %m", ["2024 1", "2024   1"], ["20241"]),
        ("%Y.%m", ["2024.1"], ["2024x1"]),
        ("Q%q %Y", ["Q1 2024", "Q4 2024"], ["Q0 2024", "Q5 2024"]),
        ("%G-W%V-%u", ["2024-W1-7"], ["2024-W1-8", "2024-W1-0"]),
        ("%j", ["001", "366"], ["1", "0001"]),
        ("%b", ["Jan", "january", "SEPT", "sep"], ["Ja", "Janu"]),
        ("%B", ["Jan", "january"], ["x"]),
        ("%a", ["Mon", "monday", "월", "일요일"], ["Mo", "월요"]),
        ("%p", ["am", "PM", "오전", "오후"], ["m", "noon"]),
        ("%P", ["am"], ["x"]),
        ("%z", ["Z", "utc", "+09", "+0900", "-09:30"], ["+9", "09:00", "+09:0"]),
    ],
)
def test_patterns(format, fits, others):
    assert [text for text in fits if not re.match(pattern_of(format), text)] == []
    assert [text for text in others if re.match(pattern_of(format), text)] == []


def test_formats_that_can_be_used():
    for format in ("%Y", "%y", "%G-W%V", "number", "unix", "unix-ms", "unix-us", "%Y" + "x" * (MAX_FORMAT - 2)):
        check_format(format)
    assert MAX_FORMAT == 100


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("%Y" + "x" * 99, "a time format has at most 100 characters, not 101"),
        ("%Y %X", "holds %X; known are"),
        ("%Y %", "holds  %; known are"),
        ("%Y %Y", "holds %Y twice"),
        ("%Y %B %b", "holds %b twice"),
        ("%m-%d", "has no year"),
        ("", "has no year"),
    ],
)
def test_formats_that_cannot_be_used(format, message):
    with pytest.raises(UsageError, match=message):
        check_format(format)


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("2024-01-05", ["%Y-%m-%d"]),
        ("5/1/2024", ["%d/%m/%Y", "%m/%d/%Y"]),
        ("05-01-24", ["%d-%m-%y", "%m-%d-%y", "%y-%m-%d"]),
        ("2024-01-05T10:30", ["%Y-%m-%dT%H:%M"]),
        ("2024-01-05 10", ["%Y-%m-%d %H"]),
        ("2024-01-05_10:30", ["%Y-%m-%d_%H:%M"]),
        ("2024-01-05 10:30:15,5", ["%Y-%m-%d %H:%M:%S,%f"]),
        ("2024-01-05 10:30 +0900", ["%Y-%m-%d %H:%M %z"]),
        ("2024-01-05 10:30Z", ["%Y-%m-%d %H:%M%z"]),
        ("Fri 2024-01-05", ["%a %Y-%m-%d"]),
        ("Friday, January 5, 2024", ["%a, %b %d, %Y"]),
        ("2024-01-05 (금)", ["%Y-%m-%d (%a)"]),
        ("2024-01-05(금) 10:30", ["%Y-%m-%d(%a) %H:%M"]),
        ("2024-01-05 금요일", ["%Y-%m-%d %a"]),
        ("2024년 1월 5일 오후 3시", ["%Y년 %m월 %d일 %p %I시"]),
        ("Fri Jan 05 10:30:00 2024", ["%a %b %d %H:%M:%S %Y"]),
        ("10:30\t2024-01-05", ["%H:%M\t%Y-%m-%d"]),
        ("2024-01", ["%Y-%m"]),
        ("2024-01 10:30", []),
        ("10:30", []),
        ("hello", []),
        ("", []),
    ],
)
def test_formats_of_a_text(text, formats):
    assert formats_of(text) == formats
