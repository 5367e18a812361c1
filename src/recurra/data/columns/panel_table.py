"""Converts tables to panels: sorts rows into series, detects the time step, and reports or repairs irregularities."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import counted, hint, listed
from recurra.data.files.table import decoded, encoded, is_blank
from recurra.errors import DataError

from .frequency import Frequency, find_frequency
from .numbers import parse_numbers
from .panel import Columns, Panel, Series, of_series
from .times.choice import order_of
from .times.formats import JOIN
from .timestamps import Spelling, TimeReading, Times, join_times, parse_times

HOUR = 3_600_000_000
MOST_STEPS, MOST_GAPS = 1_000_000, 100
"""Limits after gaps are filled: number of steps of a series, and number of steps per row."""


def panel_of_table(
    table: pa.Table,
    columns: Columns,
    where: Callable[[int], str],
    *,
    frequency: Frequency | None = None,
    fill_gaps: bool = False,
    reading: TimeReading | None = None,
) -> Panel:
    """Sorts the rows of a table into series, and checks that their times are regular.

    Args:
        table: a table with the columns `columns.names`, in this order.
        columns: the roles of the columns.
        where: returns the place of a row, for messages.
        frequency: the required time step; detected if None.
        fill_gaps: True to insert missing steps with missing values; False to raise an error.
        reading: options of reading the times.

    Raises:
        DataError: a time is missing, cannot be read, occurs twice, or is not on the regular clock; a step is missing
            (without `fill_gaps`); or a value is not a number. The message names the place and what to do.

    Example:
        >>> table = pa.table({"day": ["2024-01-02", "2024-01-01"], "sold": ["7", "5"]})
        >>> panel = panel_of_table(table, Columns("day", ("sold",)), str)
        >>> panel.series[0].values.tolist(), str(panel.frequency), panel.notes
        ([[5.0], [7.0]], '1 day', ['rows were not in the order of time: sorted'])
    """
    columns = columns.called(table.column_names)
    count = len(columns.times)
    ids, codes = _ids(table.column(count) if columns.id else None, table.num_rows, str(columns.id), where)
    times = _times(table, columns, codes, where, reading, frequency)
    wanted = (*columns.target, *columns.features, *columns.known)
    numbers = {name: parse_numbers(table.column(name), name=name, where=where) for name in wanted}
    found = _Sorting(ids, codes, times, numbers, columns, where, fill_gaps).panel(frequency)
    first = np.zeros(len(ids), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    labels = decoded(table.column(count)).take(pa.array(first)) if columns.id else None
    types = tuple(decoded(column).type for column in table.columns[:count])
    return dataclasses.replace(found, types=types, labels=labels)


def _ids(column: Any, rows: int, name: str, where: Callable[[int], str]) -> tuple[list[str | None], np.ndarray]:
    """Returns the names of the series in order of appearance, and the number of each row's series."""
    if column is None:
        return [None], np.zeros(rows, np.int64)
    column = decoded(column)
    blank = np.flatnonzero(np.asarray(is_blank(column), dtype=bool))
    if blank.size:
        raise DataError(f"{where(int(blank[0]))}, column {name} is empty: which series does the row belong to?")
    try:
        codes, ids = encoded(pc.cast(column, pa.string()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(f"column {name}: values of type {column.type} cannot be ids") from None
    return ids, codes


def _times(
    table: pa.Table,
    columns: Columns,
    codes: np.ndarray,
    where: Callable[[int], str],
    reading: TimeReading | None,
    frequency: Frequency | None,
) -> Times:
    if columns.times:
        column, name = join_times([table.column(i) for i in range(len(columns.times))]), ",".join(columns.times)
        return parse_times(column, name=name, where=where, reading=reading, groups=codes, frequency=frequency)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    counts = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    values = np.zeros(len(codes), np.int64)
    values[order] = counts
    return Times(values, Spelling("number"))


@dataclass
class _Sorting:
    """The second step of `panel_of_table`: from parsed columns to series."""

    ids: list[str | None]
    codes: np.ndarray
    times: Times
    numbers: dict[str, np.ndarray]
    columns: Columns
    where: Callable[[int], str]
    fill_gaps: bool
    counted: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counted = self.times.values

    def panel(self, frequency: Frequency | None) -> Panel:
        instants = self.times.instants
        order = np.lexsort((instants, self.codes))
        bounds = np.searchsorted(self.codes[order], np.arange(len(self.ids) + 1))
        groups = [order[a:b] for a, b in pairwise(bounds)]
        notes = [self.times.note] if self.times.note else []
        if any((np.diff(group) < 0).any() for group in groups):
            notes.append("rows were not in the order of time: sorted")
        for id, rows in zip(self.ids, groups, strict=True):
            self._refuse_twice(id, rows, instants)
        clock = frequency or self._frequency(groups)
        self.counted = instants if clock.absolute else self._on_calendar(instants)
        if clock.dated != self.times.dated and len(order):
            found = "dates" if self.times.dated else "numbers"
            names = ",".join(self.columns.times)
            raise DataError(f"the column {names} holds {found}, unlike the model's training data")
        series, inserted, ahead = [], 0, 0
        for id, rows in zip(self.ids, groups, strict=True):
            positions = self._positions(id, rows, clock)
            inserted += int(positions[-1]) + 1 - len(rows) if len(rows) else 0
            made = self._series(id, rows, positions)
            ahead += len(made.known) - len(made)
            series.append(made)
        if inserted:
            notes.append(f"{counted(inserted, 'missing step')} inserted (--fill-gaps)")
        if ahead:
            notes.append(f"the last {counted(ahead, 'row')} have no target: they are the time to forecast")
        notes += self._missing(series)
        return Panel(series, self.columns, clock, self.times.spelling, self.times.zone, notes=notes)

    def _on_calendar(self, instants: np.ndarray) -> np.ndarray:
        """Returns local times. If a clock change skips midnight, data show 1:00; it is replaced by 0:00."""
        times, zone = self.times.values, self.times.zone
        if zone is None or not len(times):
            return times
        days = times.astype("datetime64[D]").astype("datetime64[us]")
        usual, counts = np.unique(times - days, return_counts=True)
        expected = days + usual[counts.argmax()]
        return np.where(zone.instants(expected) == instants, expected, times)

    def _frequency(self, groups: list[np.ndarray]) -> Frequency:
        if all(len(rows) < 2 for rows in groups):
            return Frequency("fixed" if self.times.dated else "number")  # one row per series has no step
        if self.times.zone is not None:
            found = find_frequency([self.times.instants[rows] for rows in groups])
            if found.absolute and not self._on_local_clock(found, groups):
                return found  # a change of the clock does not change the step
            local = find_frequency([self.times.values[rows] for rows in groups])
            return dataclasses.replace(local, local=local.kind == "fixed")
        return find_frequency([self.times.values[rows] for rows in groups])

    def _on_local_clock(self, frequency: Frequency, groups: list[np.ndarray]) -> bool:
        """Returns whether times are regular on the local clock (6:00 and 18:00) but not in elapsed time."""
        local = find_frequency([self.times.values[rows] for rows in groups])

        def off(times: np.ndarray, step: Frequency) -> bool:
            return any(np.isnan(step.positions(times[rows], times[rows[0]])).any() for rows in groups if len(rows))

        return off(self.times.instants, frequency) and not off(self.times.values, local)

    def _at(self, row: int) -> str:
        return str(self.times.write(slice(row, row + 1))[0]).replace(JOIN, " ")

    def _refuse_twice(self, id: str | None, rows: np.ndarray, instants: np.ndarray) -> None:
        same = np.flatnonzero(np.diff(instants[rows]).astype(np.int64) == 0)
        if not same.size:
            return
        first, second = int(rows[same[0]]), int(rows[same[0] + 1])
        advice = "leave one of the rows out"
        if self.columns.id is None:
            advice += ", or name the column that tells several series apart with --id"
        raise DataError(
            f"{self.where(second)}: the time {self._at(second)}{of_series(id)} occurs a second time, first in "
            f"{self.where(first)}\n{advice}{self._clock_change(second, (3, 4, 9, 10, 11), 'back')}",
        )

    def _clock_change(self, row: int, months: tuple[int, ...], way: str) -> str:
        """Returns advice if a local time is near a change to or from summer time."""
        if not self.times.dated or self.times.zone is not None:
            return ""
        moment = self.times.values[row].astype("datetime64[us]").tolist()
        if moment.month not in months or moment.hour > 3:
            return ""
        example = f"{moment:%Y-%m-%d %H:%M}+01:00"
        return f"; if the clock was set {way} there, give the times with their offset ({example}), or in UTC"

    def _about_gap(self, row: int, missing: int, clock: Frequency) -> str:
        """Returns more advice for a gap: dates that were read as numbers, or a clock change."""
        if not clock.dated:
            if self.times.spelling.format == "number" and len(self._at(row)) == 6:
                return "; if the numbers are dates, give their --time-format, such as %y%m%d or %G%V"
            return ""
        short = missing * clock.microseconds <= HOUR
        clock_change = self._clock_change(row, (2, 3, 4, 9, 10), "forward") if short else ""
        return clock_change or self._about_order()

    def _about_order(self) -> str:
        """Returns advice if day and month of all dates could be exchanged."""
        order = order_of(self.times.spelling.format)
        values = self.times.values
        if not self.times.dated or order is None:
            return ""
        days = values.astype("datetime64[D]") - values.astype("datetime64[M]").astype("datetime64[D]")
        if (days.astype(np.int64) >= 12).any():
            return ""
        other = "month" if order == "day" else "day"
        return f"; if the {other} comes first in these dates, give --{other}-first"

    def _positions(self, id: str | None, rows: np.ndarray, clock: Frequency) -> np.ndarray:
        if not len(rows):
            return np.zeros(0, np.int64)
        times = self.counted[rows]
        positions = clock.positions(times, times[0])
        off = np.flatnonzero(np.isnan(positions))
        if off.size:
            row, before = int(rows[off[0]]), int(rows[off[0] - 1])
            raise DataError(
                f"{self.where(row)}: the time {self._at(row)}{of_series(id)} is off the clock: after "
                f"{self._at(before)} a step of {clock} leads elsewhere\n"
                f"bring the series to equal steps first (for instance with pandas' resample){self._about_order()}"
            )
        gaps = np.flatnonzero(np.diff(positions) > 1)
        if gaps.size and not self.fill_gaps:
            row, before = int(rows[gaps[0] + 1]), int(rows[gaps[0]])
            missing = int(positions[gaps[0] + 1] - positions[gaps[0]]) - 1
            more = f"; {counted(len(gaps) - 1, 'more gap')} follow" if len(gaps) > 1 else ""
            raise DataError(
                f"{self.where(row)}: a gap in the time{of_series(id)}: {self._at(row)} comes after {self._at(before)}, "
                f"{counted(missing, 'step')} of {clock} missing{more}\n"
                "fill the rows in, or let --fill-gaps insert them as missing values"
                + self._about_gap(row, missing, clock)
            )
        if positions[-1] > MOST_STEPS + MOST_GAPS * len(rows):
            at = int(np.diff(positions).argmax()) + 1
            row, before = int(rows[at]), int(rows[at - 1])
            missing = int(np.diff(positions)[at - 1]) - 1
            raise DataError(
                f"{self.where(row)}: the time {self._at(row)}{of_series(id)} comes after {self._at(before)}: "
                f"{missing:,} missing steps of {clock} are too many to be filled; correct the time"
            )
        return positions.astype(np.int64)

    def _series(self, id: str | None, rows: np.ndarray, positions: np.ndarray) -> Series:
        steps = int(positions[-1]) + 1 if len(rows) else 0

        def laid_out(names: Sequence[str]) -> np.ndarray:
            found = np.full((steps, len(names)), np.nan)
            for i, name in enumerate(names):
                found[positions, i] = self.numbers[name][rows]
            return found

        values, features, known = map(laid_out, (self.columns.target, self.columns.features, self.columns.known))
        if self.columns.target:
            given = np.flatnonzero(~np.isnan(values).all(1))
            steps = int(given[-1]) + 1 if given.size else 0
        origin = self.counted[rows[0]] if len(rows) else np.zeros(1, self.counted.dtype)[0]
        return Series(id, origin, values[:steps], features[:steps], known)

    def _missing(self, series: list[Series]) -> Iterator[str]:
        parts = (("values", self.columns.target), ("features", self.columns.features), ("known", self.columns.known))
        for part, names in parts:
            for i, name in enumerate(names):
                count = sum(int(np.isnan(getattr(s, part)[:, i]).sum()) for s in series)
                if count:
                    what = counted(count, "missing value")
                    yield f"{what} in {name}: the last value is used and marked as missing for the network"
        empty = [str(s.id) for s in series if s.id is not None and len(s) and np.isnan(s.values).all()]
        if empty:
            yield f"{len(empty):,} series without a value, all are missing: {listed(empty, 8)}"


def choose(table: pa.Table, columns: Columns) -> tuple[pa.Table, Columns]:
    """Selects columns in the order of `Columns.names`. Without targets, every other column of numbers is a target.

    Raises:
        DataError: a column is not there, or none is left to forecast.
    """
    for name in columns.names:
        if name not in table.column_names:
            meant = hint(name, table.column_names)
            raise DataError(f'there is no column "{name}"{meant}\nThe columns are: {listed(table.column_names, 20)}')
    if not columns.target:
        taken = columns.names
        rest = [f.name for f in table.schema if f.name not in taken and _is_numeric(f.type)]
        if not rest:
            raise DataError("no column of numbers is left to forecast; name it with target=")
        columns = dataclasses.replace(columns, target=tuple(rest))
    return table.select(columns.names), columns


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
