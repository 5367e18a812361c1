"""Training, validation and test part by time, and which steps of other data a model has already seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recurra._util.schema import Record
from recurra.data.columns.frequency import Frequency
from recurra.data.columns.panel import Panel, Series
from recurra.errors import DataError, UsageError


class Parts(NamedTuple):
    """Ends of the parts of one series: steps `[0, train)`, `[train, valid)` and `[valid, test)`."""

    train: int
    valid: int
    test: int


def split_panel(panel: Panel, split: Sequence[float] | None, fraction: float, horizon: int) -> list[Parts]:
    """Cuts every series by time: what is forecast in a later part is after everything in the earlier ones.

    Where there is a time column all series are cut at the same times, otherwise each at shares of its length.

    Args:
        panel: the series.
        split: rows (steps of time) or shares of the training, the validation and, where given, the test part.
        fraction: share of the validation part without `split`; more where the horizon asks for it.
        horizon: steps that are forecast.

    Raises:
        UsageError: `split` cannot be understood.
    """
    offsets = offsets_of(panel)
    if not panel.columns.times:
        return [Parts(*_cuts(len(s), split, fraction, horizon)) for s in panel.series]
    total = max((o + len(s) for o, s in zip(offsets, panel.series, strict=True)), default=0)
    cuts = _cuts(total, split, fraction, horizon)
    return [parts_at(cuts, offset, len(s)) for offset, s in zip(offsets, panel.series, strict=True)]


def parts_at(cuts: Sequence[int], offset: int, length: int) -> Parts:
    """The parts of a series that begins `offset` steps after the clock from which the cuts are counted."""
    return Parts(*(min(max(cut - offset, 0), length) for cut in cuts))


def origin_of(panel: Panel) -> Any:
    """The earliest time of all series."""
    return min(s.origin for s in panel.series if len(s) or all(not len(t) for t in panel.series))


def offsets_of(panel: Panel, origin: Any = None) -> list[int]:
    """Steps from `origin`, the earliest time when None, to the beginning of each series."""
    if not panel.columns.times:
        return [0] * len(panel.series)
    origin = origin_of(panel) if origin is None else origin
    return [_distance(panel.frequency, series.origin, origin) for series in panel.series]


def _distance(frequency: Frequency, time: Any, origin: Any) -> int:
    position = frequency.positions(np.array([time]), origin)[0]
    if np.isnan(position):  # series on clocks that are not in step
        length = frequency.microseconds if frequency.dated else frequency.step
        position = (time.astype(np.int64) - origin.astype(np.int64)) / length
    return int(np.floor(position))


def _cuts(total: int, split: Sequence[float] | None, fraction: float, horizon: int) -> list[int]:
    if split is None:
        valid = max(round(fraction * total), min(2 * horizon - 1, total // 4)) if fraction else 0
        if valid < horizon:
            valid = horizon if fraction and total >= 3 * horizon else 0
        return [total - valid, total, total]
    sizes = [float(size) for size in split]
    if len(sizes) not in (2, 3) or not np.isfinite(sizes).all() or min(sizes) < 0 or sizes[0] == 0:
        found = ", ".join(f"{size:g}" for size in sizes)
        raise UsageError(f"a split has two or three parts, rows or shares, and the first is above zero, not {found}")
    if max(sizes) <= 1:
        if sum(sizes) > 1 + 1e-9:
            raise UsageError(f"the shares of the split add up to {sum(sizes):g}, more than 1")
        sizes = [size * total for size in sizes]
    elif any(size != int(size) for size in sizes):
        raise UsageError("a split is given in whole rows, such as 8640,2880,2880, or in shares, such as 0.7,0.1,0.2")
    elif sum(sizes) > total:
        rows = " + ".join(f"{size:,.0f}" for size in sizes)
        raise DataError(f"the split takes {rows} = {sum(sizes):,.0f} rows, the data have {total:,}")
    ends = np.round(np.cumsum(sizes)).astype(int).tolist()
    return [*ends, ends[-1]][:3]


class SeenConfig(Record):
    """See `Seen`."""

    origin: int | None
    cuts: list[int]
    series: list[tuple[tuple[int, int, int], str]]
    utc: bool = False

    def check(self) -> None:
        """See `Record.check`."""
        if self.origin is not None and len(self.cuts) != 3:
            raise ValueError("cuts does not have the ends of three parts")


class Seen(NamedTuple):
    """Steps that training has used, so that a file with them is evaluated on later steps.

    Attributes:
        origin: the earliest time, None without a time column.
        cuts: ends of the parts, counted from there.
        series: without a time column, for each series the ends of its parts and a hash of what they hold.
        utc: whether the origin is in UTC. In early models it is what a clock showed.
    """

    origin: int | None
    cuts: list[int]
    series: list[tuple[list[int], str]]
    utc: bool = False

    @classmethod
    def of(cls, panel: Panel, parts: Sequence[Parts]) -> Seen:
        """Returns the steps that training on these parts uses."""
        if not panel.columns.times:
            return cls(None, [], [(list(p), _hash(s, p)) for s, p in zip(panel.series, parts, strict=True)])
        ends = [[o + end for end in p] for o, p in zip(offsets_of(panel), parts, strict=True)]
        cuts = [max(column) for column in zip(*ends, strict=True)]
        utc = panel.zone is not None and panel.frequency.absolute
        return cls(int(origin_of(panel).astype(np.int64)), cuts, [], utc)

    def parts(self, panel: Panel) -> list[Parts]:
        """The parts of the series of another panel; those of a series never seen are empty."""
        if self.origin is None:
            return [self._known(series) for series in panel.series]
        origin = np.array([self.origin]).astype(panel.series[0].origin.dtype)
        if panel.zone is not None and panel.frequency.absolute and not self.utc:
            origin = panel.zone.instants(origin)
        pairs = zip(offsets_of(panel, origin[0]), panel.series, strict=True)
        return [parts_at(self.cuts, offset, len(series)) for offset, series in pairs]

    def _known(self, series: Series) -> Parts:
        for ends, content in self.series:
            parts = Parts(*ends)
            if 0 < parts.valid <= len(series) and _hash(series, parts) == content:
                return parts_at(ends, 0, len(series))
        return Parts(0, 0, 0)


def _hash(series: Series, parts: Parts) -> str:
    return hashlib.blake2b(series.values[: parts.valid].tobytes(), digest_size=16).hexdigest()
