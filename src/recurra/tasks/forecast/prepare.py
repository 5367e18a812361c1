"""From a panel to frames: scales of the training part, missing values filled, calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recurra._util.messages import counted
from recurra._util.schema import Record, check_fields
from recurra.data.batching.windows import Frame, Layout
from recurra.data.columns.frequency import CYCLES, Frequency, calendar, find_cycles
from recurra.data.columns.panel import Columns, Panel, Series
from recurra.data.columns.scaling import Moments, moments_of, standardize
from recurra.data.columns.timestamps import Spelling
from recurra.errors import DataError

from .split import Parts


class PreparationConfig(Record):
    """See `Preparation.to_config`. The keys of columns and frequency are the fields of `Columns` and `Frequency`."""

    columns: dict[str, Any]
    frequency: dict[str, Any]
    cycles: list[str]
    masked: bool
    scales: list[tuple[str | None, tuple[list[float], list[float]]]]
    side: tuple[list[float], list[float]]
    times: dict[str, Any] | None = None
    categories: dict[str, list[str]] | None = None

    def check(self) -> None:
        """See `Record.check`."""
        check_fields(Columns, self.columns, "columns")
        check_fields(Frequency, self.frequency, "frequency")
        if self.times is not None:
            check_fields(Spelling, self.times, "times")
            Spelling(**self.times).check()
        if not set(self.cycles) <= set(CYCLES) or len(set(self.cycles)) < len(self.cycles):
            raise ValueError(f"cycles are different ones of {', '.join(CYCLES)}")
        sizes = {name: len(self.columns.get(name, ())) for name in ("target", "features", "known")}
        if not sizes["target"]:
            raise ValueError("columns.target names no column")
        _check_scale(self.side, sizes["features"] + sizes["known"], "side")
        for name, scale in self.scales:
            _check_scale(scale, sizes["target"], f"scales of {name!r:.40}")
            if min(scale[1]) == 0:
                raise ValueError(f"scales of {name!r:.40}: a deviation is 0")


def _check_scale(scale: tuple[list[float], list[float]], size: int, name: str) -> None:
    if [len(part) for part in scale] != [size, size]:
        raise ValueError(f"{name} do not have a mean and a deviation for each of {size} columns")
    if any(deviation < 0 for deviation in scale[1]):
        raise ValueError(f"{name}: a deviation is negative")


@dataclass
class Preparation:
    """Converts panels to frames, by scales and cycles of the training part.

    Attributes:
        columns: what the columns are.
        frequency: the step of time.
        cycles: cycles of the calendar that are among the known columns.
        masked: whether the network is told what is missing.
        scales: mean and scale of the targets of each series, `(2, targets)`: the standard deviation, or what
            `Moments.target_scale` takes for a constant.
        side: those of features and known columns over all series, `(2, features + known)`; a column with deviation 0
            is constant and always becomes 0.
        spelling: how times were written in training; None in early models.
        categories: categories of the columns of the table that became columns of 0 and 1.
    """

    columns: Columns
    frequency: Frequency
    cycles: list[str]
    masked: bool = False
    scales: dict[str | None, np.ndarray] = field(default_factory=dict)
    side: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))
    spelling: Spelling | None = None
    categories: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def learn(cls, panel: Panel, parts: Sequence[Parts], calendar: bool) -> Preparation:
        """Learns scales, cycles and whether values are missing from the training part."""
        longest = max((p.train for p in parts), default=0)
        cycles = find_cycles(panel.frequency, longest) if calendar else []
        made = cls(panel.columns, panel.frequency, cycles, spelling=panel.spelling, categories=panel.categories)
        training = [(s, s.values[: p.train], p.train) for s, p in zip(panel.series, parts, strict=True)]
        found = {series.id: moments_of(values) for series, values, _ in training}
        found = {id: moments for id, moments in found.items() if moments.count.min() >= 2}
        usual = _usual([moments.deviation for moments in found.values()], len(panel.columns.target))
        made.scales = {id: _scale(moments, usual) for id, moments in found.items()}
        side = Moments(len(panel.columns.features) + len(panel.columns.known))
        for series, _, n in training:
            side.add(np.concatenate([series.features[:n], series.known[:n]], 1))
        made.side = np.stack([side.mean, side.deviation])
        made.masked = any(np.isnan(v).any() or np.isnan(s.features[:n]).any() for s, v, n in training)
        return made

    @property
    def layout(self) -> Layout:
        """Layout of the columns of a step."""
        columns = self.columns
        dates = 2 * len(self.cycles)
        return Layout(len(columns.target), len(columns.features), len(columns.known) + dates, dates, self.masked)

    def scale(self, series: Series, begin: int) -> np.ndarray:
        """Mean and standard deviation of the targets, `(2, targets)`.

        Those of the training part; of the steps before `begin` for a series new to the model; the average of all
        series where there are none.
        """
        if series.id in self.scales:
            return self.scales[series.id]
        past = moments_of(series.values[:begin])
        if not self.scales:
            return _scale(past)
        average = np.mean(list(self.scales.values()), axis=0)
        return _scale(past, average[1]) if past.count.any() else average

    def frame(self, panel: Panel, series: Series, begin: int, end: int) -> Frame:
        """A series scaled and filled, with its steps up to `end`, which may lie beyond its last target.

        Raises:
            DataError: known columns do not reach to `end`.
        """
        steps = max(len(series), end)
        if self.columns.known and len(series.known) < steps:
            last = panel.spelt(series, np.array([steps - 1]))[0]
            name = "" if series.id is None else f" of the series {series.id}"
            raise DataError(
                f"forecasting up to {last} needs {', '.join(self.columns.known)}{name} up to there; "
                f"they are known for {counted(len(series.known) - len(series), 'step')} after the last target\n"
                "append rows with these columns (and no target) to the data, or give them with --future FILE"
            )
        mean, deviation = self.scale(series, begin)
        observed = ~np.isnan(series.values)
        targets = np.zeros((steps, len(self.columns.target)))
        targets[: len(series)] = _filled(standardize(series.values, mean, deviation, _named(series)))
        split = len(self.columns.features)
        features = np.zeros((steps, split))
        features[: len(series)] = _filled(
            standardize(series.features, self.side[0, :split], self.side[1, :split], _named(series))
        )
        ahead = series.known[:steps] if self.columns.known else np.zeros((steps, 0))
        known = _filled(standardize(ahead, self.side[0, split:], self.side[1, split:], _named(series)))
        times = panel.times(series, np.arange(steps)) if self.cycles else np.zeros(steps)
        parts = [targets, features, known, calendar(times, self.cycles)]
        if self.masked:
            mask = np.zeros((steps, targets.shape[1] + split))
            mask[: len(series)] = np.concatenate([observed, ~np.isnan(series.features)], 1)
            parts.append(mask)
        seen = None
        if not observed.all() or steps > len(series):
            seen = np.zeros((steps, targets.shape[1]), bool)
            seen[: len(series)] = observed
        return Frame(np.concatenate(parts, 1).astype(np.float32), seen, begin, end)

    def to_config(self) -> dict[str, Any]:
        """Returns the argument of `from_config`."""
        columns, frequency = self.columns, self.frequency
        return {
            "columns": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(columns).items()},
            "frequency": vars(frequency).copy(),
            "cycles": self.cycles,
            "masked": self.masked,
            "scales": [[id, scale.tolist()] for id, scale in self.scales.items()],
            "side": self.side.tolist(),
            "times": None if self.spelling is None else vars(self.spelling).copy(),
            **({"categories": self.categories} if self.categories else {}),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Preparation:
        """The reverse of `to_config`."""
        columns: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["columns"].items()}
        scales = {id: np.array(scale) for id, scale in config["scales"]}
        side = np.array(config["side"]).reshape(2, -1)
        frequency = Frequency(**config["frequency"])
        spelling = Spelling(**config["times"]) if config.get("times") else None
        kinds = config.get("categories") or {}
        return cls(Columns(**columns), frequency, config["cycles"], config["masked"], scales, side, spelling, kinds)


def _scale(moments: Moments, usual: np.ndarray | float = 1.0) -> np.ndarray:
    """Mean and scale of each target, `(2, targets)`; `usual` is the scale of targets that are constant at 0."""
    return np.stack([moments.mean, moments.target_scale(usual)])


def _usual(deviations: list[np.ndarray], targets: int) -> np.ndarray:
    """Mean deviation of each target over the series in which it varies, `(targets,)`; 1 where it varies in none."""
    table = np.array(deviations).reshape(-1, targets)
    count = (table > 0).sum(0)
    return np.where(count > 0, table.sum(0) / np.maximum(count, 1), 1.0)


def _named(series: Series) -> str:
    return "the series" if series.id is None else f"the series {series.id}"


def _filled(values: np.ndarray) -> np.ndarray:
    """The last value for each that is missing; before the first one the first, 0 where there is none."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    at = np.maximum.accumulate(np.where(missing, -1, np.arange(len(values))[:, None]), axis=0)
    first = np.where(missing.all(0), 0, (~missing).argmax(0))
    at = np.where(at < 0, first, at)
    return np.nan_to_num(np.take_along_axis(values, at, axis=0), copy=False)
