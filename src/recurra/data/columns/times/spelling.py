"""The spelling of times: writes times like those of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from recurra.errors import DataError

from .formats import DAYS, KOREAN_DAYS, MONTHS, PER_UNIT, check_format, parts_of
from .zones import write_offset


@dataclass(frozen=True)
class Spelling:
    """The format of the times of a column.

    Attributes:
        format: directives of `strftime`, with `%-d` for numbers without leading zeros, `%q` for the quarter, `%Ep` for
            오전 and 오후, `%:z` for an offset with a colon; or one of `NUMBER_FORMATS`; empty for ISO 8601.
        digits: number of digits of the fraction of a second.
        late_midnight: True if midnight is written as 24:00 of the previous day.
        zone: the offset from UTC if it is written as a word, such as `Z`.

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
            times: local times, `datetime64`; or integers.
            offsets: microseconds east of UTC of each time, if known.

        Returns:
            Strings; integers for `NUMBER_FORMATS` and for times that are numbers.

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
    """Writes one directive."""
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
    """Writes times as ISO 8601, in the coarsest unit that is exact."""
    whole = times.astype("datetime64[D]")
    zoned = offsets is not None
    unit = "D" if (times == whole).all() and not zoned else "us"
    if unit == "us" and (times == times.astype("datetime64[s]")).all():
        unit = "s"
    texts = [str(t).replace("T", " ") for t in times.astype(f"datetime64[{unit}]")]
    return [t + write_offset(int(o)) for t, o in zip(texts, offsets, strict=True)] if zoned else texts
