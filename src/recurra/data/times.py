"""Time columns: their spellings, the step between two rows, and what the calendar says about a time."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.errors import DataError
from recurra.schema import Size

from .numbers import MISSING
from .table import decoded
from .wording import counted, shortened

_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y%m%d")
_DATES += ("%d %b %Y", "%b %d, %Y", "%d-%b-%Y")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H%M%S", "%H")
FORMATS = (
    *_DATES,
    *(f"{date}{gap}{clock}" for date in _DATES for gap in (" ", "T") for clock in _CLOCKS),
    *("%Y-%m", "%Y/%m", "%Y.%m", "%Y%m", "%b %Y", "%b-%Y", "%m/%Y"),
)
"""Spellings tried, those with the year first before others; of two that both fit, the one with regular steps wins."""

DAY = 86_400_000_000
_UNITS = (("day", DAY), ("hour", DAY // 24), ("minute", DAY // 1440), ("second", 1_000_000), ("microsecond", 1))
_MONTHS = {1: "1 month", 3: "1 quarter", 12: "1 year"}


@dataclass(frozen=True)
class Times:
    """The times of the rows of a table.

    Attributes:
        values: microseconds since 1970 as `datetime64[us]`, or whole numbers, `(rows,)`.
        spelling: how they were written, for `strftime`, with `zone` behind; empty for numbers and typed columns.
        zone: what stood behind every time, such as `Z` or `+09:00`; times are kept as the clock showed them.
    """

    values: np.ndarray
    spelling: str = ""
    zone: str = ""

    @property
    def dated(self) -> bool:
        """Whether these are dates, not numbers."""
        return self.values.dtype.kind == "M"


def parse_times(column: Any, *, name: str, where: Callable[[int], str]) -> Times:
    """Makes times of a column.

    Args:
        column: strings in one of the usual spellings (ISO 8601 with or without zone, `01.07.2016 13:00`, `20160701`,
            `2016-07`, `Jul 2016`, …), whole numbers, or Arrow's dates and timestamps.
        name: the name of the column, for messages.
        where: gives the place of a row, for messages.

    Raises:
        DataError: a time is missing, or cannot be read.

    Example:
        >>> parse_times(pa.array(["2016-07-01 00:00", "2016-07-01 01:00"]), name="date", where=str).values
        array(['2016-07-01T00:00:00.000000', '2016-07-01T01:00:00.000000'],
              dtype='datetime64[us]')
    """
    column = decoded(column)
    if pa.types.is_null(column.type) or column.null_count:
        row = int(np.flatnonzero(np.asarray(pc.is_null(column)))[0])
        raise DataError(f"{where(row)}, column {name}: the time is missing; fill it in or leave the row out")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        zone = getattr(column.type, "tz", None) or ""
        if zone:
            column = pc.local_timestamp(column)
        return Times(np.asarray(pc.cast(column, pa.timestamp("us"), safe=False)).astype("datetime64[us]"))
    if pa.types.is_integer(column.type):
        return Times(np.asarray(pc.cast(column, pa.int64())))
    if pa.types.is_floating(column.type):
        numbers = np.asarray(pc.cast(column, pa.float64()))
        if (numbers == np.round(numbers)).all():
            return Times(numbers.astype(np.int64))
        row = int(np.flatnonzero(numbers != np.round(numbers))[0])
        raise DataError(f"{where(row)}, column {name}: {numbers[row]} is neither a date nor a whole number")
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"column {name}: values of type {column.type} are not times")
    return _parse_texts(column, name, where)


def _parse_texts(column: Any, name: str, where: Callable[[int], str]) -> Times:
    text = pc.utf8_trim_whitespace(column)
    missing = np.flatnonzero(np.asarray(pc.is_in(pc.utf8_lower(text), pa.array(MISSING, text.type))))
    if missing.size:
        raise DataError(
            f"{where(int(missing[0]))}, column {name}: the time is missing; fill it in or leave the row out"
        )
    if not len(text):
        return Times(np.zeros(0, np.int64))
    dated, zone = _split_zone(text)
    dated = pc.replace_substring_regex(dated, r"([:0-9])[.,]0+$", r"\1") if _all(dated, r":[0-9]{2}[.,]0+$") else dated
    found = [(spelling, values) for spelling in FORMATS if (values := _strptime(dated, spelling)) is not None]
    if found:
        best = min(found, key=lambda pair: _irregularity(pair[1]))
        return Times(best[1], best[0], zone)
    if _all(dated, r"[.,][0-9]{1,6}$"):  # fractions of a second, which strptime does not take
        return Times(_with_fraction(dated, name, where), "", zone)
    if _all(text, r"^[+-]?[0-9]+$"):
        return Times(np.asarray(pc.cast(text, pa.int64())))
    row, why = _first_bad(dated, text)
    raise DataError(f"{where(row)}, column {name}: {shortened(text[row].as_py())} {why}")


def _all(text: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())


def _split_zone(text: Any) -> tuple[Any, str]:
    """The texts without the zone that all of them end in."""
    zone = re.search(r"(?<=\d)(?:Z|UTC| UTC|[+-]\d\d:?\d\d)$", text[0].as_py())
    if zone is None or ":" not in text[0].as_py():
        return text, ""
    if not pc.all(pc.ends_with(text, zone.group())).as_py():
        return text, ""
    return pc.utf8_slice_codeunits(text, 0, -len(zone.group())), zone.group()


def _strptime(text: Any, spelling: str) -> np.ndarray | None:
    """Times as `datetime64[us]`, None where a text is not spelt so."""
    if len(spelling) == 4 and not _all(text, r"^[0-9]{6}$"):  # %Y%m would take 20160 for a month
        return None
    if spelling == "%Y%m%d" and not _all(text, r"^[0-9]{8}$"):
        return None
    if pc.strptime(text[:1], format=spelling, unit="us", error_is_null=True).null_count:
        return None
    values = pc.strptime(text, format=spelling, unit="us", error_is_null=True)
    if values.null_count:
        return None
    values = np.asarray(values).astype("datetime64[us]")
    years = values.astype("datetime64[Y]").astype(int) + 1970
    return values if (years >= 1000).all() and (years < 3000).all() else None


def _irregularity(values: np.ndarray) -> int:
    """Number of different steps: days taken for months make many."""
    return len(np.unique(np.diff(values.astype(np.int64))))


def _with_fraction(text: Any, name: str, where: Callable[[int], str]) -> np.ndarray:
    rows = pc.replace_substring(text, ",", ".").to_pylist()
    values = np.zeros(len(rows), "datetime64[us]")
    for row, value in enumerate(rows):
        try:
            values[row] = np.datetime64(value.replace("/", "-"), "us")
        except ValueError:
            raise DataError(f"{where(row)}, column {name}: {shortened(value)} is no time that can be read") from None
    return values


def _first_bad(dated: Any, text: Any) -> tuple[int, str]:
    """The first row that is not spelt as the rows before it, and how to say so."""
    for spelling in FORMATS:
        if pc.strptime(dated[:1], format=spelling, unit="us", error_is_null=True).null_count:
            continue
        bad = np.flatnonzero(np.asarray(pc.is_null(pc.strptime(dated, format=spelling, unit="us", error_is_null=True))))
        if bad.size:
            return int(bad[0]), f"is not spelt like the times before it ({text[0].as_py()})"
    bad = np.flatnonzero(~np.asarray(pc.match_substring_regex(text, r"^[+-]?[0-9]+$")))
    row = int(bad[0]) if bad.size else 0
    return row, "is no time that can be read; write 2016-07-01 13:00:00, or a whole number"


@dataclass(frozen=True)
class Frequency:
    """The step between two rows.

    Attributes:
        kind: `"number"`, `"fixed"` (microseconds), `"month"` (calendar months) or `"business"` (Monday to Friday).
        step: how many of them.
        end: for months, whether times stand at the end of the month.

    Example:
        >>> times = np.array(["2024-01-31", "2024-02-29", "2024-03-31"], "datetime64[us]")
        >>> frequency = find_frequency([times])
        >>> str(frequency), frequency.positions(times, times[0]).tolist()
        ('1 month', [0.0, 1.0, 2.0])
        >>> frequency.at(times[0], np.array([3])).astype("datetime64[D]").tolist()
        [datetime.date(2024, 4, 30)]
    """

    # model folders are checked against these types
    kind: Literal["number", "fixed", "month", "business"]
    step: Size = 1
    end: bool = False

    @property
    def dated(self) -> bool:
        """Whether times are dates, not numbers."""
        return self.kind != "number"

    @property
    def microseconds(self) -> int:
        """Length of a step, of a month on average."""
        return {"month": 30_436_875 * DAY // 1_000_000, "business": DAY * 7 // 5, "fixed": 1}[self.kind] * self.step

    def __str__(self) -> str:
        if self.kind == "number":
            return str(self.step)
        if self.kind == "business":
            return "1 business day"
        if self.kind == "month":
            return _MONTHS.get(self.step, f"{self.step} months")
        name, size = next((name, size) for name, size in _UNITS if self.step % size == 0)
        return counted(self.step // size, name)

    def positions(self, times: np.ndarray, origin: Any) -> np.ndarray:
        """Steps from `origin` to each time; NaN where a time lies between two steps."""
        if self.kind == "month":
            months = _months(times) - _months(origin)
            same = _in_month(times, self.end) == _in_month(origin, self.end)
            return np.where(same & (months % self.step == 0), months // self.step, np.nan)
        if self.kind == "business":
            days, first = times.astype("datetime64[D]"), origin.astype("datetime64[D]")
            on = np.is_busday(days) & (times - days == origin - first)
            return np.where(on, np.busday_count(first, days), np.nan)
        distance = times.astype(np.int64) - np.int64(origin.astype(np.int64))
        return np.where(distance % self.step == 0, distance // self.step, np.nan)

    def at(self, origin: Any, positions: np.ndarray) -> np.ndarray:
        """The times so many steps after `origin`."""
        if self.kind == "month":
            month = origin.astype("datetime64[M]") + positions * self.step
            return _at_end(month) + _in_month(origin, True) if self.end else month + _in_month(origin, False)
        if self.kind == "business":
            first = origin.astype("datetime64[D]")
            return np.busday_offset(first, positions) + (origin - first)
        return origin + positions * (self.step if self.kind == "number" else np.timedelta64(self.step, "us"))


def _months(times: Any) -> np.ndarray:
    return times.astype("datetime64[M]").astype(np.int64)


def _at_end(month: np.ndarray) -> np.ndarray:
    """The last day of each month."""
    return ((month + 1).astype("datetime64[D]") - np.timedelta64(1, "D")).astype("datetime64[us]")


def _in_month(times: Any, end: bool) -> Any:
    """Distance of each time from the first, or the last, day of its month."""
    month = times.astype("datetime64[M]")
    return times - (_at_end(month) if end else month.astype("datetime64[us]"))


def find_frequency(series: Sequence[np.ndarray]) -> Frequency:
    """Finds the step of one or more series of sorted times, the most frequent distance between neighbours.

    Raises:
        DataError: no series has two different times.
    """
    steps = [np.diff(times) for times in series if len(times) > 1]
    pooled = np.concatenate(steps) if steps else np.zeros(0)
    if not len(pooled):
        raise DataError("no series has two rows: the step of time cannot be found")
    dated = pooled.dtype.kind == "m"
    distances, counts = np.unique(pooled.astype(np.int64), return_counts=True)
    usual = int(distances[counts.argmax()])
    if not dated:
        return Frequency("number", usual)
    if usual >= 28 * DAY:
        for end in (False, True):
            if all((_in_month(t, end) == _in_month(t[:1], end)).all() for t in series if len(t)):
                months = np.concatenate([np.diff(_months(t)) for t in series])
                found, number = np.unique(months, return_counts=True)
                return Frequency("month", int(found[number.argmax()]), end)
    if usual == DAY and 3 * DAY in distances:
        days = np.concatenate([t.astype("datetime64[D]") for t in series])
        if np.is_busday(days).all():
            return Frequency("business")
    return Frequency("fixed", usual)


CYCLES: dict[str, int] = {"minute": DAY // 24, "hour": DAY, "weekday": 7 * DAY, "year": 31_556_952_000_000}
"""Cycles of the calendar and their lengths in microseconds."""


def find_cycles(frequency: Frequency, steps: int) -> list[str]:
    """The cycles of the calendar that `steps` rows can teach: longer than two steps, seen at least twice.

    Example:
        >>> find_cycles(Frequency("fixed", DAY // 24), 24 * 30)
        ['hour', 'weekday']
    """
    if not frequency.dated:
        return []
    step = frequency.microseconds
    return [name for name, length in CYCLES.items() if 2 * step < length and 2 * length <= step * steps]


def calendar(times: np.ndarray, cycles: Sequence[str]) -> np.ndarray:
    """Where each time stands in the cycles: sine and cosine of each, float32 `(time, 2 · cycles)`."""
    columns = []
    for name in cycles:
        if name == "year":
            year = times.astype("datetime64[Y]")
            begin, length = year.astype("datetime64[us]"), (year + 1).astype("datetime64[us]")
            phase = (times - begin) / (length - begin)
        else:  # 1970 began on a Thursday, which shifts the week only
            phase = (times.astype(np.int64) % CYCLES[name]) / CYCLES[name]
        columns += [np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(times), 0), np.float32)


def spell(times: np.ndarray, spelling: str = "", zone: str = "") -> list[str] | list[int]:
    """Times as they were written: in a given spelling, else ISO 8601 no finer than needed; numbers as they are."""
    if times.dtype.kind != "M":
        return [int(t) for t in times]
    if spelling:
        return [f"{t:{spelling}}{zone}" for t in times.astype("datetime64[us]").tolist()]
    whole = times.astype("datetime64[D]")
    unit = "D" if (times == whole).all() else "s" if (times == times.astype("datetime64[s]")).all() else "us"
    return [str(t).replace("T", " ") + zone for t in times.astype(f"datetime64[{unit}]")]
