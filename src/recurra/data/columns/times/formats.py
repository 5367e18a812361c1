"""Formats of times: their patterns, and the formats that a text may have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from recurra.errors import UsageError

from .zones import OFFSET

JOIN = "\t"
"""Separator between the parts of a time that is written in several columns."""

# names are English or Korean in every locale, unlike those of `calendar`
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
MONTHS += ["November", "December"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
KOREAN_DAYS = "월화수목금토일"
_TWO = "[0-9]{1,2}"
_PATTERNS = {
    **dict.fromkeys("YG", "[0-9]{4}"),
    "y": "[0-9]{2}",
    **dict.fromkeys("mdHIMSV", _TWO),
    "f": "[0-9]{1,9}",
    "q": "[1-4]",
    "u": "[1-7]",
    "j": "[0-9]{3}",
    "b": f"(?i:{'|'.join(MONTHS)}|sept|{'|'.join(name[:3] for name in MONTHS)})",
    "a": f"(?i:{'|'.join(DAYS)}|{'|'.join(name[:3] for name in DAYS)})|[{KOREAN_DAYS}](?:요일)?",
    "p": "(?i:am|pm)|오전|오후",
    "z": OFFSET,
}
SAME = {"B": "b", "A": "a", "P": "p"}
_DIRECTIVE = re.compile(r"%(?P<flags>[-^E]?|:{1,3})(?P<name>[A-Za-z])")
DIGITS = frozenset("YGymdHIMSVfquj")
PER_UNIT = {"unix": 1_000_000, "unix-ms": 1000, "unix-us": 1}

MAX_FORMAT = 100  # characters

NUMBER_FORMATS = ("number", *PER_UNIT)
"""Formats of whole numbers: counted steps, or seconds, milliseconds or microseconds since 1970."""


@lru_cache(maxsize=4096)
def parts_of(format: str) -> list[tuple[str, str]]:
    """Splits a format into directives `(flags, name)` and texts between them `("literal", text)`."""
    found, end = [], 0
    for match in _DIRECTIVE.finditer(format):
        if match.start() > end:
            found.append(("literal", format[end : match.start()]))
        found.append((match["flags"], match["name"]))
        end = match.end()
    return [*found, ("literal", format[end:])] if end < len(format) else found


@lru_cache(maxsize=4096)
def pattern_of(format: str) -> str:
    """Returns the regular expression of a format, for RE2 and `re`. A fraction of a second is optional."""
    parts, found = parts_of(format), []
    for i, (flags, name) in enumerate(parts):
        beside = [parts[j] for j in (i - 1, i + 1) if 0 <= j < len(parts)]
        if flags == "literal":
            point = name[-1] in ".," and i + 1 < len(parts) and parts[i + 1][1] == "f"
            text = re.escape(name[:-1] if point else name)
            found.append(re.sub(r"(?:\\ )+", " +", text) + (f"(?:{re.escape(name[-1])}" if point else ""))
            continue
        plain = SAME.get(name, name)
        pattern = _PATTERNS[plain]
        if pattern == _TWO and any(f != "literal" and n in DIGITS for f, n in beside):
            pattern = "[0-9]{2}"  # digits adjoin without a separator, so the width must be fixed
        found.append(f"(?P<{plain}>{pattern})")
        if name == "f" and i and parts[i - 1][0] == "literal" and parts[i - 1][1][-1] in ".,":
            found.append(")?")
    return "^" + "".join(found) + "$"


def check_format(format: str) -> None:
    """Checks that a format can be read and contains a year.

    Raises:
        UsageError: it cannot be used. The message gives the reason.
    """
    if format in NUMBER_FORMATS:
        return
    if len(format) > MAX_FORMAT:
        raise UsageError(f"a time format has at most {MAX_FORMAT} characters, not {len(format):,}")
    names = [SAME.get(name, name) for flags, name in parts_of(format) if flags != "literal"]
    rest = [text for flags, text in parts_of(format) if flags == "literal" and "%" in text]
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
    """Returns all known formats that match a text.

    Example:
        >>> formats_of("2018-04-13 1:05 PM"), formats_of("2/1/1992")
        (['%Y-%m-%d %I:%M %p'], ['%d/%m/%Y', '%m/%d/%Y'])
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
            match = re.search(f"{re.escape(gap) or '(?<=[^0-9])'}{pattern_of(clock)[1:]}", rest)
            if match is None or not match.start():
                continue
            dates = _dates_of(rest[: match.start()])
            found += [date + weekday + gap + clock + zoned for date, weekday in dates if _has_day(date)]
    return found


def _has_day(date: str) -> bool:
    return ("%d" in date or "%u" in date) and "%H" not in date


@lru_cache(maxsize=64)
def _dates_of(text: str) -> list[tuple[str, str]]:
    """Returns formats of a date, each with the format of the weekday after it."""
    day = _PATTERNS["a"]
    before = re.match(rf"(?:{day})(,? )", text)
    after = re.search(rf"( ?)\((?:{day})\)$|( )(?:[{KOREAN_DAYS}]요일)$", text)
    ahead = f"%a{before[1]}" if before else ""
    behind = "" if not after else f"{after[1]}(%a)" if after[2] is None else f"{after[2]}%a"
    text = text[before.end() if before else 0 : after.start() if after else None]
    return [(ahead + date, behind) for date in DATES if re.match(pattern_of(date), text)]
