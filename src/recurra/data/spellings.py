"""How times are written as text: formats, the formats that a text may have, reading a column and writing it back."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.errors import DataError, UsageError

from .zones import OFFSET, offset_of, write_offset

JOIN = "\t"
"""Is between the parts of a time that is written in several columns."""

# names are English or Korean whatever the locale of the process is, unlike those of `calendar`
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
_MONTHS += ["November", "December"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_KOREAN_DAYS = "월화수목금토일"
_TWO = "[0-9]{1,2}"
_PATTERNS = {
    **dict.fromkeys("YG", "[0-9]{4}"),
    "y": "[0-9]{2}",
    **dict.fromkeys("mdHIMSV", _TWO),
    "f": "[0-9]{1,9}",
    "q": "[1-4]",
    "u": "[1-7]",
    "j": "[0-9]{3}",
    "b": f"(?i:{'|'.join(_MONTHS)}|sept|{'|'.join(name[:3] for name in _MONTHS)})",
    "a": f"(?i:{'|'.join(_DAYS)}|{'|'.join(name[:3] for name in _DAYS)})|[{_KOREAN_DAYS}](?:요일)?",
    "p": "(?i:am|pm)|오전|오후",
    "z": OFFSET,
}
_SAME = {"B": "b", "A": "a", "P": "p"}
_DIRECTIVE = re.compile(r"%(?P<flags>[-^E]?|:{1,3})(?P<name>[A-Za-z])")
_DIGITS = frozenset("YGymdHIMSVfquj")
_UNIX = {"unix": 1_000_000, "unix-ms": 1000, "unix-us": 1}

MAX_FORMAT = 100  # characters

NUMBER_FORMATS = ("number", *_UNIX)
"""Formats of whole numbers: counted steps, or seconds, milliseconds or microseconds since 1970."""


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
        if self.format in _UNIX:
            return (times.astype("datetime64[us]").astype(np.int64) // _UNIX[self.format]).tolist()
        if not self.format:
            return _iso(times, offsets)
        if (times.astype("datetime64[Y]").astype(np.int64) + 1970 > 9999).any():
            raise DataError("a time is after the year 9999 and cannot be written")
        moments = times.astype("datetime64[us]").tolist()
        east = [0] * len(moments) if offsets is None else offsets.tolist()
        parts = _parts(self.format)
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
        return _KOREAN_DAYS[moment.weekday()] + ("요일" if name == "A" else "")
    word = _MONTHS[moment.month - 1] if name in "bB" else _DAYS[moment.weekday()]
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


# formats


@lru_cache(maxsize=4096)
def _parts(format: str) -> list[tuple[str, str]]:
    """Directives as `(flags, name)` and texts between them as `("literal", text)`."""
    found, end = [], 0
    for match in _DIRECTIVE.finditer(format):
        if match.start() > end:
            found.append(("literal", format[end : match.start()]))
        found.append((match["flags"], match["name"]))
        end = match.end()
    return [*found, ("literal", format[end:])] if end < len(format) else found


@lru_cache(maxsize=4096)
def _pattern(format: str) -> str:
    """The regular expression of a format, for RE2 and `re`; a fraction of a second may be left out."""
    parts, found = _parts(format), []
    for i, (flags, name) in enumerate(parts):
        beside = [parts[j] for j in (i - 1, i + 1) if 0 <= j < len(parts)]
        if flags == "literal":
            point = name[-1] in ".," and i + 1 < len(parts) and parts[i + 1][1] == "f"
            text = re.escape(name[:-1] if point else name)
            found.append(re.sub(r"(?:\\ )+", " +", text) + (f"(?:{re.escape(name[-1])}" if point else ""))
            continue
        plain = _SAME.get(name, name)
        pattern = _PATTERNS[plain]
        if pattern == _TWO and any(f != "literal" and n in _DIGITS for f, n in beside):
            pattern = "[0-9]{2}"  # nothing else tells where it ends
        found.append(f"(?P<{plain}>{pattern})")
        if name == "f" and i and parts[i - 1][0] == "literal" and parts[i - 1][1][-1] in ".,":
            found.append(")?")
    return "^" + "".join(found) + "$"


def check_format(format: str) -> None:
    """Refuses a format that cannot be read, or that does not tell the day, month, quarter or week of a year.

    Raises:
        UsageError: with what is wrong.
    """
    if format in NUMBER_FORMATS:
        return
    if len(format) > MAX_FORMAT:
        raise UsageError(f"a time format has at most {MAX_FORMAT} characters, not {len(format):,}")
    names = [_SAME.get(name, name) for flags, name in _parts(format) if flags != "literal"]
    rest = [text for flags, text in _parts(format) if flags == "literal" and "%" in text]
    unknown = [f"%{name}" for name in names if name not in _PATTERNS] + rest
    if unknown:
        known = ", ".join([*(f"%{name}" for name in "YymdHIMSfpbBaAzqGVuj"), *NUMBER_FORMATS])
        raise UsageError(f"the time format {format!r} holds {unknown[0]}; known are {known}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice:
        raise UsageError(f"the time format {format!r} holds %{twice} twice")
    if not {"Y", "y", "G"} & set(names):
        raise UsageError(f"the time format {format!r} has no year (%Y)")


def _numeric_dates() -> Iterator[str]:
    for s in ("-", "/", ".", ". ", " ", "\t"):
        orders = ("%Y{s}%m{s}%d", "%d{s}%m{s}%Y", "%m{s}%d{s}%Y", "%d{s}%m{s}%y", "%m{s}%d{s}%y", "%y{s}%m{s}%d")
        for order in (*orders, "%Y{s}%m", "%m{s}%Y"):
            yield order.format(s=s)
            if s in (".", ". "):
                yield order.format(s=s) + "."


def _named_dates() -> Iterator[str]:
    for s in ("-", "/", ".", " ", "\t"):
        orders = ("%d{s}%b{s}%Y", "%b{s}%d{s}%Y", "%Y{s}%b{s}%d", "%d{s}%b{s}%y", "%b{s}%Y", "%Y{s}%b", "%b{s}%y")
        yield from (order.format(s=s) for order in orders)
    yield from ("%b %d, %Y", "%d%b%Y", "%b%Y", "%d. %b %Y")
    for s in ("", " "):
        yield from (f"%Y년{s}%m월{s}%d일", f"%y년{s}%m월{s}%d일", f"%Y년{s}%m월", f"%Y년{s}%q분기")
    yield from ("%Y년", "%Y %q분기")


_QUARTERS = (*(f"%Y{s}{q}%q" for s, q in product(("", "-", " ", "/", ".", "\t"), "Qq")), "Q%q %Y", "Q%q-%Y", "Q%q/%Y")
_QUARTERS += (*(f"%qQ{s}%Y" for s in ("", " ", "-", "/")), *(f"%Y{s}%qQ" for s in (" ", "-", "/", ".")))
_QUARTERS += ("%Y:Q%q", "%yQ%q", "%qQ%y")
_WEEKS = ("%G-W%V", "%GW%V", "%Gw%V", "%G W%V", "W%V %G", "W%V-%G", "W%V/%G", "%G-W%V-%u", "%GW%V%u")
_OTHERS = ("%YM%m", "%Ym%m", "%Y-M%m", "%Y:%m", "%Y-%j")
_COMPACT = ("%Y%m%d", "%Y%m", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%d%H%M%S.%f")
_CTIME = ("%b %d %H:%M:%S %Y", "%b %d %H:%M:%S %z %Y")
DATES = (*_numeric_dates(), *_named_dates(), *_QUARTERS, *_WEEKS, *_OTHERS, *_COMPACT, *_CTIME)
"""Formats of dates that are recognized."""

CLOCKS = (
    *("%H:%M:%S.%f", "%H:%M:%S,%f", "%H:%M", "%H%M%S", "%H%M%S.%f", "%H%M", "%H", "%H.%M.%S", "%H.%M"),
    *("%H\t%M", "%H\t%M\t%S"),
    *(f"%I{clock}{s}%p" for clock in (":%M:%S.%f", ":%M", "") for s in (" ", "")),
    *(f"%p{s}%I{clock}" for clock in (":%M:%S.%f", ":%M") for s in (" ", "")),
    *(f"{half}시{s}%M분{s}%S초" for half in ("%H", "%p %I", "%p%I") for s in ("", " ")),
    *(f"{half}시{s}%M분" for half in ("%H", "%p %I", "%p%I") for s in ("", " ")),
    *("%H시", "%p %I시", "%p%I시"),
)
"""Formats of clock times that are recognized."""
_GAPS = (" ", "T", "\t", ", ", "_", "-", ":", "")


def formats_of(text: str) -> list[str]:
    """All recognized formats that a text fits.

    Example:
        >>> formats_of("04-13-2020 1:05 PM"), formats_of("2/1/1992")
        (['%m-%d-%Y %I:%M %p'], ['%d/%m/%Y', '%m/%d/%Y'])
    """
    found = _formats(text)
    if not found and text.count(JOIN) == 1 and ":" in text.split(JOIN)[0]:  # the clock first
        swapped = (format.split(JOIN) for format in _formats(JOIN.join(text.split(JOIN)[::-1])))
        found = [JOIN.join(parts[::-1]) for parts in swapped]
    return list(dict.fromkeys(found))


def _formats(text: str) -> list[str]:
    found = [date + weekday for date, weekday in _dates_of(text)]
    zone = re.search(rf"(?<=[0-9시분초AaPpMm])( ?)(?:{OFFSET})$", text)
    rests = [(text, "")]
    if zone:
        rests.append((text[: zone.start()], f"{zone[1]}%z"))
    for (rest, zoned), clock in product(rests, CLOCKS):
        if ",%f" in clock and "," not in rest:
            continue
        for gap in _GAPS:
            if gap == ":" and not clock.startswith("%H:"):
                continue
            if gap in ("-", "_") and clock not in ("%H", "%H%M", "%H:%M", "%H:%M:%S.%f"):
                continue
            match = re.search(f"{re.escape(gap) or '(?<=[^0-9])'}{_pattern(clock)[1:]}", rest)
            if match is None or not match.start():
                continue
            dates = _dates_of(rest[: match.start()])
            found += [date + weekday + gap + clock + zoned for date, weekday in dates if _has_day(date)]
    return found


def _has_day(date: str) -> bool:
    return ("%d" in date or "%u" in date) and "%H" not in date


@lru_cache(maxsize=64)
def _dates_of(text: str) -> list[tuple[str, str]]:
    """Formats of a date, each with the format of the day of the week behind it."""
    day = _PATTERNS["a"]
    before = re.match(rf"(?:{day})(,? )", text)
    after = re.search(rf"( ?)\((?:{day})\)$|( )(?:[{_KOREAN_DAYS}]요일)$", text)
    ahead = f"%a{before[1]}" if before else ""
    behind = "" if not after else f"{after[1]}(%a)" if after[2] is None else f"{after[2]}%a"
    text = text[before.end() if before else 0 : after.start() if after else None]
    return [(ahead + date, behind) for date in DATES if re.match(_pattern(date), text)]


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
    struct = pc.extract_regex(text, _pattern(format))
    fits = np.asarray(pc.is_valid(struct), dtype=bool)
    names = [_SAME.get(name, name) for flags, name in _parts(format) if flags != "literal"]
    fields = {name: pc.fill_null(pc.struct_field(struct, name), "") for name in names}
    numbers = {name: _number(fields[name]) for name in names if name in _DIGITS - {"f"}}
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
        names = pa.array([name[:3].lower() for name in _MONTHS])
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
    for flags, name in _parts(format):
        plain = _SAME.get(name, name)
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
    if text[:1] in _KOREAN_DAYS and plain == "a" and text:
        return "EA" if len(text) > 1 else "Ea"
    long = len(text) > 3 or (len(text) == 3 and name.isupper())  # May is both
    word = plain.upper() if long else plain
    return f"^{word}" if text.isupper() else word


def without_flags(spelling: Spelling) -> str:
    """The format of a spelling that also reads numbers padded in another way, and a fraction of a second."""
    format = re.sub(r"%(?:[-^E]|:{1,3})([A-Za-z])", r"%\1", spelling.format)
    return format if "%f" in format or "%S" not in format else format.replace("%S", "%S.%f", 1)
