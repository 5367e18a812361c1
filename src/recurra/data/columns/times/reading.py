"""Reads a column of texts by a given time format."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .formats import DIGITS, KOREAN_DAYS, MONTHS, SAME, parts_of, pattern_of
from .spelling import Spelling
from .zones import offset_of


@dataclass(frozen=True)
class Read:
    """The result of reading texts by a format.

    Attributes:
        spelling: the format, with the padding, words and fraction of the texts.
        times: local times, `datetime64[us]`, or `[ns]` for texts with nanoseconds.
        offsets: microseconds east of UTC, or None if the format has no offset.
        fits: True for texts that match the pattern of the format.
        good: True for texts that are valid times too.
    """

    spelling: Spelling
    times: np.ndarray
    offsets: np.ndarray | None
    fits: np.ndarray
    good: np.ndarray


def read_format(text: Any, format: str, *, any_year: bool = True) -> Read:
    """Reads an Arrow array of texts by a format.

    Args:
        text: without missing values.
        format: see `Spelling`; not one of `NUMBER_FORMATS`.
        any_year: True to accept years before 1800 and after 2199.
    """
    struct = pc.extract_regex(text, pattern_of(format))
    fits = np.asarray(pc.is_valid(struct), dtype=bool)
    names = [SAME.get(name, name) for flags, name in parts_of(format) if flags != "literal"]
    fields = {name: pc.fill_null(pc.struct_field(struct, name), "") for name in names}
    numbers = {name: _number(fields[name]) for name in names if name in DIGITS - {"f"}}
    days, good = _days(numbers, fields, len(text))
    clock, hours_good, late = _clock(numbers, fields, len(text))
    years = days.astype("datetime64[Y]").astype(np.int64) + 1970
    good &= fits & hours_good & (years > 0) & (years < 9999) & (any_year | (years >= 1800) & (years < 2200))
    nanoseconds = np.zeros(len(text), np.int64)
    if "f" in fields:
        nanoseconds = _number(pc.utf8_rpad(fields["f"], 9, "0"))
    times = days.astype("datetime64[us]") + clock + (nanoseconds // 1000).astype("timedelta64[us]")
    if (nanoseconds % 1000).any():
        times = times.astype("datetime64[ns]") + (nanoseconds % 1000).astype("timedelta64[ns]")
    offsets = _offsets(fields["z"]) if "z" in fields else None
    hours = numbers.get("H", np.ones(1))
    return Read(_exact(format, fields, bool(late and not (hours == 0).any())), times, offsets, fits, good)


def _number(column: Any) -> np.ndarray:
    return np.asarray(pc.cast(pc.if_else(pc.equal(column, ""), "0", column), pa.int64()))


def _days(numbers: dict[str, np.ndarray], fields: dict[str, Any], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns days, and a mask of those that exist in the calendar."""
    if "G" in numbers:
        year = np.array(numbers["G"] - 1970, "datetime64[Y]")
        fourth = year.astype("datetime64[D]") + 3  # January 4 is always in week 1
        monday = fourth - (fourth.astype(np.int64) + 3) % 7
        days = monday + 7 * (numbers["V"] - 1) + (numbers.get("u", np.ones(rows, np.int64)) - 1)
        thursday = days - (days.astype(np.int64) + 3) % 7 + 3
        return days, (thursday.astype("datetime64[Y]") == year) & (numbers["V"] > 0)
    year = numbers["Y"] if "Y" in numbers else numbers["y"] + np.where(numbers["y"] < 69, 2000, 1900)
    if "j" in numbers:
        first = np.array(year - 1970, "datetime64[Y]")
        days = first.astype("datetime64[D]") + numbers["j"] - 1
        return days, (numbers["j"] > 0) & (days.astype("datetime64[Y]") == first)
    month = numbers.get("m", np.ones(rows, np.int64))
    if "b" in fields:
        short = pc.utf8_slice_codeunits(pc.utf8_lower(fields["b"]), 0, 3)
        names = pa.array([name[:3].lower() for name in MONTHS])
        month = np.asarray(pc.fill_null(pc.index_in(short, names), -1)).astype(np.int64) + 1
    elif "q" in numbers:
        month = 3 * numbers["q"] - 2
    day = numbers.get("d", np.ones(rows, np.int64))
    months = np.array((year - 1970) * 12 + month - 1, "datetime64[M]")
    days = months.astype("datetime64[D]") + day - 1
    return days, (month > 0) & (month < 13) & (day > 0) & (days.astype("datetime64[M]") == months)


def _clock(numbers: dict[str, np.ndarray], fields: dict[str, Any], rows: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Returns times of day, a mask of those that exist, and whether any is 24:00."""
    none = np.zeros(rows, np.int64)
    minute, second = numbers.get("M", none), numbers.get("S", none)
    good = (minute < 60) & (second < 60)
    hour, last = numbers.get("H", none), np.zeros(rows, bool)
    if "I" in numbers:
        half = fields.get("p")
        late = none if half is None else np.asarray(pc.is_in(pc.utf8_lower(half), pa.array(["pm", "오후"]))).astype(int)
        good &= numbers["I"] <= 12
        hour = numbers["I"] % 12 + 12 * late
    else:
        last = (hour == 24) & (minute == 0) & (second == 0)
        good &= (hour < 24) | last
    seconds = hour * 3600 + minute * 60 + second
    return seconds.astype("timedelta64[s]").astype("timedelta64[us]"), good, bool(last.any())


def _offsets(column: Any) -> np.ndarray:
    encoded = pc.dictionary_encode(column)
    values = [offset_of(text) if text else 0 for text in encoded.dictionary.to_pylist()]
    return np.array(values, np.int64)[np.asarray(encoded.indices)]


def _exact(format: str, fields: dict[str, Any], late: bool) -> Spelling:
    """Returns the format with the padding, words, fraction and offset of the texts."""
    padded = {name: _padded(fields[name]) for name in "mdHIMSV" if name in fields}
    # 10/11/2018 does not show the padding: use that of other numbers, or of the format
    loose = any(pad is False for pad in padded.values())
    digits = int(pc.max(pc.utf8_length(fields["f"])).as_py() or 0) if "f" in fields else 0
    zone = ""
    found = []
    for flags, name in parts_of(format):
        plain = SAME.get(name, name)
        if flags == "literal":
            found.append(name)
        elif plain == "f" and not digits:
            found[-1] = found[-1][:-1]  # removes the decimal point
        elif plain in padded:
            known = padded[plain]
            off = flags == "-" or loose if known is None else not known
            found.append(f"%{'-' if off else ''}{plain}")
        elif plain in "bap":
            found.append("%" + _worded(plain, name, fields[plain][0].as_py() if len(fields[plain]) else ""))
        elif plain == "z":
            texts = pc.unique(fields["z"]).to_pylist()
            zone = texts[0] if len(texts) == 1 and texts[0][:1].isalpha() else ""
            sample = next((text for text in texts if not text[:1].isalpha()), "+00:00")
            found.append("%:z" if ":" in sample else "%z" if len(sample) > 3 else "%:::z")
        else:
            found.append(f"%{flags}{name}")
    return Spelling("".join(found), digits, late, zone)


def _padded(column: Any) -> bool | None:
    """Returns whether numbers under ten have a leading zero; None if there are none under ten."""
    if pc.any(pc.equal(pc.utf8_length(column), 1)).as_py():
        return False
    return True if pc.any(pc.starts_with(column, "0")).as_py() else None


def _worded(plain: str, name: str, text: str) -> str:
    """Returns the directive for the length, language and case of a word."""
    if plain == "p":
        return "Ep" if text[:1] == "오" else "P" if text.islower() else "p"
    if text[:1] in KOREAN_DAYS and plain == "a" and text:
        return "EA" if len(text) > 1 else "Ea"
    long = len(text) > 3 or (len(text) == 3 and name.isupper())  # "May" is both long and short
    word = plain.upper() if long else plain
    return f"^{word}" if text.isupper() else word


def without_flags(spelling: Spelling) -> str:
    """Returns a format that also reads other padding and a fraction of a second."""
    format = re.sub(r"%(?:[-^E]|:{1,3})([A-Za-z])", r"%\1", spelling.format)
    return format if "%f" in format or "%S" not in format else format.replace("%S", "%S.%f", 1)
