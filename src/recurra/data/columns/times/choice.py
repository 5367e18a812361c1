"""Chooses between the possible readings of times, such as day first or month first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recurra.data.columns.frequency import Frequency, find_frequency
from recurra.errors import DataError

from .reading import Read


@dataclass(frozen=True)
class Choice:
    """Compares readings of the same column.

    Attributes:
        groups: number of the series of each row, `(rows,)`.
        frequency: the required time step; detected for each reading if None.
    """

    groups: np.ndarray
    frequency: Frequency | None

    def best(self, found: Sequence[Read]) -> tuple[list[Read], Read | None]:
        """Chooses the reading with the most regular steps.

        Args:
            found: one or more readings that match every row.

        Returns:
            A list with the chosen reading, and the best other reading or None. If the times do not decide, a list of
            several readings, and None.
        """
        if len(found) == 1:
            return list(found), None
        ranked = sorted(((self._disorder(read), read) for read in found), key=lambda pair: pair[0])
        costs, found = [cost for cost, _ in ranked], [read for _, read in ranked]
        if costs[0] < costs[1] and 2 * costs[0] <= costs[1]:
            return [found[0]], found[1]
        tied = [read for read, cost in zip(found, costs, strict=True) if cost <= max(2 * costs[0], costs[0] + 1)]
        shortest = min(tied, key=lambda read: np.ptp(read.times.astype(np.int64)))
        # in 18-01-05 the year is the part that changes most rarely
        tied = [read for read in tied if _year_place(read) == _year_place(shortest)]
        if len(tied) == 1:
            return [shortest], next(read for read in found if read is not shortest)
        return tied, None

    def same_order(self, found: Sequence[Read]) -> bool:
        """Returns whether all readings sort the rows of each series in the same order."""
        orders = [np.lexsort((read.times, self.groups)) for read in found]
        return all((order == orders[0]).all() for order in orders)

    def _disorder(self, read: Read) -> int:
        """Counts the rows that are not on the time step of their series, or not in order in the file."""
        in_file = np.argsort(self.groups, kind="stable")
        same = np.diff(self.groups[in_file]) == 0
        steps = np.diff(read.times[in_file]).astype(np.int64)[same]
        backward = int(min((steps < 0).sum(), (steps > 0).sum()))
        series = self._series(read)
        frequency = self.frequency or _frequency(series)
        if frequency is None:
            return backward
        for times in series:
            at = frequency.positions(times, times[0])
            backward += int((~(np.diff(at) == 1)).sum())
        return backward

    def _series(self, read: Read) -> list[np.ndarray]:
        order = np.lexsort((read.times, self.groups))
        return np.split(read.times[order], np.flatnonzero(np.diff(self.groups[order])) + 1)

    def describe(self, read: Read) -> str:
        """Returns the first day, the last day and the time step of a reading, for a message."""
        frequency = _frequency(self._series(read))
        span = f"{day_of(read.times.min())} to {day_of(read.times.max())}"
        return span if frequency is None else f"{span}, a step of {frequency}"


def _frequency(series: Sequence[np.ndarray]) -> Frequency | None:
    try:
        return find_frequency(series)
    except DataError:  # no series has two rows
        return None


def _numeric(format: str) -> str:
    """Returns the parts of a numeric date in order, such as `mdY`; empty for other dates."""
    parts = "".join(re.findall("%-?([Yymd])", format))
    return parts if len(parts) == 3 and parts[0] != "Y" else ""


def order_of(format: str) -> str | None:
    """Returns `"day"` or `"month"` if that comes first in a numeric date, else None."""
    return {"d": "day", "m": "month"}.get(_numeric(format)[:1])


def in_order(format: str, order: str | None) -> bool:
    """Returns whether a format agrees with an order, `"day"` or `"month"` first; None allows every format."""
    return order is None or not _numeric(format) or order_of(format) == order


def _year_place(read: Read) -> int:
    return _numeric(read.spelling.format).lower().find("y")


def label_of(read: Read) -> str:
    """Returns the name of a reading for a message: `day first`, or its format."""
    order = order_of(read.spelling.format)
    return f"{order} first" if order else f"as {read.spelling.format}"


def day_of(time: np.datetime64) -> str:
    """Returns the date of a time as text."""
    return str(time.astype("datetime64[D]"))
