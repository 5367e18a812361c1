"""How times are written: reading a column of texts, and writing times in the same way."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.errors import DataError

from .time_formats import DAYS, DIGITS, KOREAN_DAYS, MONTHS, PER_UNIT, SAME, check_format, parts_of, pattern_of
from .zones import offset_of, write_offset


@dataclass(frozen=True)
class Spelling:
    """How the times of a column are written.

    Attributes:
        format: directives of `strftime`, with `%-d` for numbers without leading zeros, `%q` for the quarter, `%Ep` for
            오전 and 오후, `%:z` for an offset with a colon; or one of `NUMBER_FORMATS`; empty for ISO 8601.
        digits: of the fraction of a second.
        late_midnight: whether midnight is written as 24:00 of the day before.
        zone: how the offset from UTC is written if it is a word, such as `Z`.

    Example:
        >>> spelling = Spelling("%Y년 %-m월 %-d일 %Ep %-I시")
        >>> spelling.write(np.array(["2018-01-05T00", "2018-01-05T13"], "datetime64[us]"))
        ['2018년 1월 5일 오전 12시', '2018년 1월 5일 오후 1시']
    """

    format: str = ""
    digits: int = 0
    late_midnight: bool = False
    zone: str = ""

    def check(self) -> None:
        """Checks the spelling of a model folder.

        Raises:
            ValueError: it cannot be used.
        """
        if self.format:
            check_format(self.format)
        if not 0 <= self.digits <= 9 or len(self.zone) > 3:
            raise ValueError("a fraction has at most 9 digits, and a zone three letters")

    def write(self, times: np.ndarray, offsets: np.ndarray | None = None) -> list[Any]:
        """Writes times.

        Args:
            times: what the clock shows, `datetime64`; or whole numbers.
            offsets: microseconds east of UTC of each, where known.

        Returns:
            Strings; whole numbers for `NUMBER_FORMATS` and for times that are numbers.

        Raises:
            DataError: a time is after the year 9999.
        """
        if times.dtype.kind != "M":
            return [int(time) for time in times]
        if self.format in PER_UNIT:
            return (times.astype("datetime64[us]").astype(np.int64) // PER_UNIT[self.format]).tolist()
        if not self.format:
            return _iso(times, offsets)
        if (times.astype("datetime64[Y]").astype(np.int64) + 1970 > 9999).any():
            raise DataError("a time is after the year 9999 and cannot be written")
        moments = times.astype("datetime64[us]").tolist()
        east = [0] * len(moments) if offsets is None else offsets.tolist()
        parts = parts_of(self.format)
        return [self._write(moment, offset, parts) for moment, offset in zip(moments, east, strict=True)]

    def _write(self, moment: datetime, offset: int, parts: Sequence[tuple[str, str]]) -> str:
        late = self.late_midnight and moment.time() == datetime.min.time()
        day = moment - timedelta(days=1) if late else moment
        found = []
        for flags, name in parts:
            if flags == "literal":
                found.append(name)
            elif name == "f":
                found.append(f"{moment.microsecond:06}".ljust(self.digits, "0")[: self.digits])
            elif name == "z":
                separator = ":" if flags.startswith(":") else ""
                found.append(self.zone or write_offset(offset, separator, flags != ":::"))
            else:
                found.append(_field(day, "24" if late and name == "H" else "", flags, name))
        return "".join(found)


def _field(moment: datetime, hour: str, flags: str, name: str) -> str:
    """One directive as text."""
    if hour:
        return hour
    if name in "bBaApP":
        return _word(moment, flags, name)
    year, week, weekday = moment.isocalendar()
    numbers = {
        "Y": (moment.year, 4),
        "G": (year, 4),
        "y": (moment.year % 100, 2),
        "m": (moment.month, 2),
        "d": (moment.day, 2),
        "H": (moment.hour, 2),
        "I": (moment.hour % 12 or 12, 2),
        "M": (moment.minute, 2),
        "S": (moment.second, 2),
        "V": (week, 2),
        "u": (weekday, 1),
        "q": ((moment.month + 2) // 3, 1),
        "j": (moment.timetuple().tm_yday, 3),
    }
    number, width = numbers[name]
    return str(number) if flags == "-" else f"{number:0{width}}"


def _word(moment: datetime, flags: str, name: str) -> str:
    korean = flags == "E"
    if name in "pP":
        names = ("오전", "오후") if korean else ("am", "pm") if name == "P" else ("AM", "PM")
        return names[moment.hour >= 12]
    if name in "aA" and korean:
        return KOREAN_DAYS[moment.weekday()] + ("요일" if name == "A" else "")
    word = MONTHS[moment.month - 1] if name in "bB" else DAYS[moment.weekday()]
    word = word if name in "BA" else word[:3]
    return word.upper() if flags == "^" else word


def _iso(times: np.ndarray, offsets: np.ndarray | None) -> list[str]:
    """ISO 8601, no finer than needed."""
    whole = times.astype("datetime64[D]")
    zoned = offsets is not None
    unit = "D" if (times == whole).all() and not zoned else "us"
    if unit == "us" and (times == times.astype("datetime64[s]")).all():
        unit = "s"
    texts = [str(t).replace("T", " ") for t in times.astype(f"datetime64[{unit}]")]
    return [t + write_offset(int(o)) for t, o in zip(texts, offsets, strict=True)] if zoned else texts


# reading


@dataclass(frozen=True)
class Read:
    """Texts read by a format.

    Attributes:
        spelling: the format, made exact by what the texts look like.
        times: what the clock shows, `datetime64[us]`, or `[ns]` where a text is finer.
        offsets: microseconds east of UTC, or None where the format has none.
        fits: whether a text has the form of the format.
        good: whether it is a time too.
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
        any_year: whether years before 1800 and after 2199 are taken too.
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
    """Days, and whether they are in the calendar."""
    if "G" in numbers:
        year = np.array(numbers["G"] - 1970, "datetime64[Y]")
        fourth = year.astype("datetime64[D]") + 3  # of January, which is in week 1
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
    """Time of the day, whether it exists, and whether any is 24:00."""
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
    """The format with the padding, the words, the fraction and the offset that the texts show."""
    padded = {name: _padded(fields[name]) for name in "mdHIMSV" if name in fields}
    # 10/11/2018 alone does not tell: then as the other numbers, or as the format says
    loose = any(pad is False for pad in padded.values())
    digits = int(pc.max(pc.utf8_length(fields["f"])).as_py() or 0) if "f" in fields else 0
    zone = ""
    found = []
    for flags, name in parts_of(format):
        plain = SAME.get(name, name)
        if flags == "literal":
            found.append(name)
        elif plain == "f" and not digits:
            found[-1] = found[-1][:-1]  # the point before it
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
    """Whether numbers under ten have a leading zero; None if there are none under ten."""
    if pc.any(pc.equal(pc.utf8_length(column), 1)).as_py():
        return False
    return True if pc.any(pc.starts_with(column, "0")).as_py() else None


def _worded(plain: str, name: str, text: str) -> str:
    """The directive for a word: its length, language and case."""
    if plain == "p":
        return "Ep" if text[:1] == "오" else "P" if text.islower() else "p"
    if text[:1] in KOREAN_DAYS and plain == "a" and text:
        return "EA" if len(text) > 1 else "Ea"
    long = len(text) > 3 or (len(text) == 3 and name.isupper())  # May is both
    word = plain.upper() if long else plain
    return f"^{word}" if text.isupper() else word


def without_flags(spelling: Spelling) -> str:
    """The format of a spelling that also reads numbers padded in another way, and a fraction of a second."""
    format = re.sub(r"%(?:[-^E]|:{1,3})([A-Za-z])", r"%\1", spelling.format)
    return format if "%f" in format or "%S" not in format else format.replace("%S", "%S.%f", 1)
