"""The time step of a series, and the cycles of the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from recurra._util.messages import counted
from recurra._util.schema import Size
from recurra.errors import DataError

DAY = 86_400_000_000
_UNITS = (("week", 7 * DAY), ("day", DAY), ("hour", DAY // 24), ("minute", DAY // 1440))
_UNITS += (("second", 1_000_000), ("millisecond", 1000), ("microsecond", 1))
_MONTHS = {1: "1 month", 3: "1 quarter", 12: "1 year"}


@dataclass(frozen=True)
class Frequency:
    """The step between two rows.

    Attributes:
        kind: `"number"`, `"fixed"` (microseconds), `"month"` (calendar months) or `"business"` (Monday to Friday).
        step: length of the step in units of the kind.
        end: for months, True if times are at the end of the month.
        local: for a fixed step, True if it is counted on the local clock although it is not a number of days.

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
    local: bool = False

    @property
    def dated(self) -> bool:
        """True if times are dates, not numbers."""
        return self.kind != "number"

    @property
    def absolute(self) -> bool:
        """True if steps are counted in elapsed time. Days and longer steps are counted on the local calendar."""
        return self.kind == "fixed" and self.step % DAY != 0 and not self.local

    @property
    def microseconds(self) -> int:
        """Length of a step in microseconds; for months, the mean length."""
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
        """Returns the steps from `origin` to each time; NaN for a time between two steps."""
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
        """Returns the times at the given steps after `origin`."""
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
    """Returns the last day of each month."""
    return ((month + 1).astype("datetime64[D]") - np.timedelta64(1, "D")).astype("datetime64[us]")


def _in_month(times: Any, end: bool) -> Any:
    """Returns the distance of each time from the first, or the last, day of its month."""
    month = times.astype("datetime64[M]")
    return times - (_at_end(month) if end else month.astype("datetime64[us]"))


def find_frequency(series: Sequence[np.ndarray]) -> Frequency:
    """Finds the step of one or more series of sorted times: the most frequent distance between consecutive times.

    Raises:
        DataError: no series has two different times.
    """
    steps = [np.diff(times) for times in series if len(times) > 1]
    pooled = np.concatenate(steps) if steps else np.zeros(0)
    if not len(pooled):
        raise DataError("no series has two rows, so the time step cannot be detected")
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
    """Returns the calendar cycles that are longer than two steps and occur at least twice in `steps` rows.

    Example:
        >>> find_cycles(Frequency("fixed", DAY // 24), 24 * 30)
        ['hour', 'weekday']
    """
    if not frequency.dated:
        return []
    step = frequency.microseconds
    return [name for name, length in CYCLES.items() if 2 * step < length and 2 * length <= step * steps]


def calendar(times: np.ndarray, cycles: Sequence[str]) -> np.ndarray:
    """Returns the phase of each time in each cycle as sine and cosine, float32 `(time, 2 · cycles)`."""
    columns = []
    for name in cycles:
        if name == "year":
            year = times.astype("datetime64[Y]")
            begin, length = year.astype("datetime64[us]"), (year + 1).astype("datetime64[us]")
            phase = (times - begin) / (length - begin)
        else:  # weeks are counted from Thursday, 1970-01-01; this only shifts the phase
            phase = (times.astype(np.int64) % CYCLES[name]) / CYCLES[name]
        columns += [np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)]
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(times), 0), np.float32)
