"""One or several series with a regular time step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from recurra.errors import DataError, UsageError

from .frames import refuse_complex
from .frequency import Frequency
from .times.formats import JOIN
from .times.spelling import Spelling
from .times.zones import Zone

NUMBERS = Frequency("number")
ISO = Spelling()


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their role.

    Attributes:
        time: the time; several columns if a time is written in parts, such as date and clock; None if there is no
            time, so rows are in order.
        target: the columns to forecast.
        features: columns known for the past only.
        known: columns known for the future too, such as holidays or planned prices.
        id: the column with the series of each row; None for one series.
    """

    time: str | tuple[str, ...] | None = None
    target: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    id: str | None = None

    @property
    def times(self) -> tuple[str, ...]:
        """The time columns: none, one or several."""
        return (self.time,) if isinstance(self.time, str) else self.time or ()

    @property
    def names(self) -> list[str]:
        """Names of all columns, in the order time, id, target, features, known.

        Raises:
            UsageError: a column has two roles.
        """
        names = [*self.times, *filter(None, (self.id,)), *self.target, *self.features, *self.known]
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise UsageError(f"the column {twice} cannot have two roles")
        return names

    def called(self, names: Sequence[str]) -> Columns:
        """Returns the columns under their names in a file; the current ones may be positions."""
        rest = iter(names)
        time = tuple(next(rest) for _ in self.times)
        id = next(rest) if self.id else None
        target, features, known = (tuple(next(rest) for _ in p) for p in (self.target, self.features, self.known))
        return Columns(time[0] if len(time) == 1 else time or None, target, features, known, id)


@dataclass(frozen=True)
class Series:
    """One series on the clock of its panel; step `i` is `i` steps after `origin`.

    Attributes:
        id: name of the series; None for the only one.
        origin: time of the first step.
        values: targets `(time, targets)`, NaN where missing.
        features: `(time, features)`, NaN where missing.
        known: `(time + ahead, known)`; it may have more steps than the targets.
    """

    id: str | None
    origin: Any
    values: np.ndarray
    features: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Panel:
    """Series with the same columns and the same step of time.

    Attributes:
        series: at least one.
        columns: names of the columns.
        frequency: the time step.
        spelling: format of the times.
        zone: time zone; None if the times have none. With a zone and an absolute step, origins are in UTC.
        types: types of the time columns in the table.
        labels: ids of the series in the type of the table, or None.
        notes: repairs of the data, for the user.
        categories: categories of the columns of the table that became columns of 0 and 1.
    """

    series: list[Series]
    columns: Columns
    frequency: Frequency = NUMBERS
    spelling: Spelling = ISO
    zone: Zone | None = None
    types: tuple[pa.DataType, ...] = ()
    labels: Any = None
    notes: list[str] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.series)

    def __getitem__(self, part: slice) -> Panel:
        labels = None if self.labels is None else self.labels[part]
        return dataclasses.replace(self, series=self.series[part], labels=labels)

    def times(self, series: Series, positions: np.ndarray) -> np.ndarray:
        """Returns the local times of some steps of a series."""
        return self._wall(self.frequency.at(series.origin, positions))[0]

    def instants(self, series: Series, positions: np.ndarray) -> np.ndarray:
        """Returns the times in UTC, if the zone is known."""
        times = self.frequency.at(series.origin, positions)
        return times if self.zone is None or self.frequency.absolute else self.zone.instants(times)

    def spelt(self, series: Series, positions: np.ndarray) -> list[Any]:
        """Returns the times in the spelling of the data, for the user."""
        return self.written(self.frequency.at(series.origin, positions))

    def parts(self, series: Series, positions: np.ndarray) -> tuple[list[Any], ...]:
        """Returns the times in the spelling of the data, for each time column."""
        found = self.spelling.write(*self._wall(self.frequency.at(series.origin, positions)))
        if len(self.columns.times) < 2:
            return (found,)
        rows = [str(time).split(JOIN) for time in found]
        return tuple([row[i] for row in rows] for i in range(len(self.columns.times)))

    def written(self, times: np.ndarray) -> list[Any]:
        """Returns times on the clock of the series, such as origins, in the spelling of the data."""
        found = self.spelling.write(*self._wall(times))
        return [time.replace(JOIN, " ") if isinstance(time, str) else time for time in found]

    def _wall(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns local times and their offsets from UTC."""
        if self.zone is None:
            return times, None
        if not self.frequency.absolute:
            instants = self.zone.instants(times)
            return times, (times - instants).astype(np.int64)
        offsets = self.zone.offset(times)
        return times + offsets.astype("timedelta64[us]"), offsets


def of_series(id: str | None) -> str:
    """Returns the end of a clause that names a series; empty for the only one."""
    return "" if id is None else f" of the series {id}"


def panel_of_arrays(y: Any, features: Any = None, known: Any = None) -> Panel:
    """Converts arrays to a panel.

    Args:
        y: targets `(time,)` or `(time, targets)`, or a list of these arrays, with NaN for missing values.
        features: `(time, features)`, known for the past only; a list if `y` is a list.
        known: `(time + ahead, known)`, known for the future too; a list if `y` is a list.

    Raises:
        DataError: the shapes do not match.

    Example:
        >>> len(panel_of_arrays([[1.0, 2.0, 3.0], [4.0, 5.0]]).series)
        2
    """
    several = isinstance(y, list | tuple) and len(y) > 0 and np.ndim(y[0]) > 0
    targets = [_matrix(one, "y") for one in (y if several else [y])]
    sides = []
    for given, name in ((features, "features"), (known, "known")):
        if given is None:
            sides.append([np.zeros((len(one), 0)) for one in targets])
        else:
            sides.append([_matrix(one, name) for one in (given if several else [given])])
    for i, (one, feature, ahead) in enumerate(zip(targets, *sides, strict=True)):
        if one.shape[1] != targets[0].shape[1] and len(one):
            raise DataError(f"series {i} has {one.shape[1]} targets where the first has {targets[0].shape[1]}")
        if len(feature) != len(one) or len(ahead) < len(one):
            raise DataError(f"series {i} has {len(one)} steps, {len(feature)} of features and {len(ahead)} of known")
    parts = (("y", targets), ("feature", sides[0]), ("known", sides[1]))
    target, feature, ahead = (tuple(f"{name}{i}" for i in range(part[0].shape[1])) for name, part in parts)
    columns = Columns(None, target, feature, ahead, "id" if several else None)
    made = [
        Series(
            str(i) if several else None,
            np.int64(0),
            one if len(one) else np.zeros((0, targets[0].shape[1])),
            feature,
            ahead,
        )
        for i, (one, feature, ahead) in enumerate(zip(targets, *sides, strict=True))
    ]
    return Panel(made, columns)


def _matrix(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):  # a tensor, without importing torch
        values = values.detach().cpu()
    try:
        found = np.asarray(values)
        refuse_complex(found, name)
        found = found.astype(np.float64, copy=False)
    except DataError:
        raise
    except (TypeError, ValueError):
        raise DataError(f"{name} is neither a table nor numbers: {values!r:.60}") from None
    if found.ndim not in (1, 2):
        raise DataError(f"{name} has shape {found.shape}; a series has shape (time,) or (time, columns)")
    if np.isinf(found).any():
        raise DataError(f"{name} has an infinite value at step {np.argwhere(np.isinf(found))[0][0]}")
    return found if found.ndim == 2 else found[:, None]


def with_future(panel: Panel, future: Panel) -> Panel:
    """Adds known values of future steps.

    Args:
        panel: the history.
        future: a panel of known columns only. Its series begin at the step after the last target of the history, or
            earlier.

    Raises:
        DataError: a series is missing, or there is a gap between its history and its future.
    """
    if (panel.zone is None) != (future.zone is None):
        raise DataError("the times of the history and of the future values must both have a time zone, or none")
    found = {s.id: s for s in future.series}
    joined = []
    for series in panel.series:
        later = found.get(series.id)
        if later is None:
            raise DataError(f"the future values hold no series {series.id}")
        offset = panel.frequency.positions(np.array([later.origin]), series.origin)[0]
        if not 0 <= offset <= len(series) or not len(later.known):
            next_time = panel.spelt(series, np.array([len(series)]))[0]
            begin = future.written(np.array([later.origin]))[0]
            raise DataError(f"the future values{of_series(series.id)} begin at {begin}; they must begin at {next_time}")
        known = np.concatenate([series.known[: int(offset)], later.known])
        joined.append(dataclasses.replace(series, known=known))
    return dataclasses.replace(panel, series=joined)
