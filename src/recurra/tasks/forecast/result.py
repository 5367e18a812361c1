"""Forecasts of one series: their rows in a table, and their picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.atomic import written
from recurra._util.plotting import BLUE, VERMILION
from recurra.data.columns.panel import Columns
from recurra.errors import UsageError

PANELS = 12
"""Pictures of more series and targets would be unreadable."""


@dataclass(frozen=True)
class Forecast:
    """The steps after the end of one series.

    Attributes:
        id: the series; None for the only one.
        times: of the steps, as the times of the data were written.
        parts: the same for each column of times.
        stamps: the same as `datetime64[us]`, in UTC if the data have a time zone; or numbers.
        values: the point forecast `(horizon, targets)`.
        quantiles: `(horizon, targets, quantiles)`.
        levels: of the quantiles.
        past: the end of the history `(time, targets)`, for pictures.
        past_times: its times.
    """

    id: str | None
    times: list[Any]
    parts: tuple[list[Any], ...]
    stamps: np.ndarray
    values: np.ndarray
    quantiles: np.ndarray
    levels: tuple[float, ...]
    past: np.ndarray
    past_times: list[Any]


def rows_of(forecast: Forecast, columns: Columns) -> Iterator[dict[str, Any]]:
    """The rows of a table of forecasts: id, time, and for each target the forecast and the ends of its band.

    One target gives `forecast`, `lower` and `upper`; several give `NAME`, `NAME_lower` and `NAME_upper`. `lower` and
    `upper` are the outermost quantiles if the median is between them, and always enclose the forecast. The other
    quantiles (but the median) are `q0.25` and the like.
    """
    names, levels = columns.target, forecast.levels
    encloses = len(levels) > 1 and levels[0] <= 0.5 <= levels[-1]
    for step, time in enumerate(zip(*forecast.parts, strict=True)):
        row: dict[str, Any] = {} if forecast.id is None else {columns.id or "id": forecast.id}
        row |= zip(columns.times or ("step",), time, strict=True)
        for target, name in enumerate(names):
            prefix = "" if len(names) == 1 else f"{name}_"
            row["forecast" if len(names) == 1 else name] = float(forecast.values[step, target])
            quantiles = forecast.quantiles[step, target]
            for i, level in enumerate(levels):
                ends = {0: "lower", len(levels) - 1: "upper"} if encloses else {}
                if i in ends or level != 0.5:
                    row[prefix + ends.get(i, f"q{level:g}")] = float(quantiles[i])
        yield row


def plot_forecasts(forecasts: Sequence[Forecast], columns: Columns, path: str | Path) -> None:
    """Draws every target of every series, the first twelve of them.

    Args:
        forecasts: what `Forecaster.forecast` gave.
        columns: names of the targets.
        path: picture to write; the suffix gives its format (`.svg`, `.png`, `.pdf`).

    Raises:
        UsageError: the suffix is none of these.
        DataError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise UsageError(f"{path} should end in .svg, .png or .pdf")
    drawn = list(product(forecasts, range(len(columns.target))))[:PANELS]
    figure = Figure(figsize=(9, 2.6 * len(drawn)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (forecast, target) in zip(figure.subplots(len(drawn), squeeze=False)[:, 0], drawn, strict=True):
        _draw(axes, forecast, target)
        axes.set_title(" · ".join(filter(None, (forecast.id, columns.target[target]))), loc="left", fontsize=10)
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0, fontsize=8, ncols=4)
    with written(path) as partial:
        figure.savefig(partial, dpi=150)


def _draw(axes: Any, forecast: Forecast, target: int) -> None:
    past, steps = len(forecast.past), len(forecast.times)
    at = np.arange(past, past + steps)
    axes.plot(np.arange(past), forecast.past[:, target], color="0.25", linewidth=1.2, label="history")
    axes.plot(at, forecast.values[:, target], color=VERMILION, linewidth=1.6, label="forecast")
    levels = forecast.levels
    for inner in range(len(levels) // 2):
        low, high = forecast.quantiles[:, target, inner], forecast.quantiles[:, target, -1 - inner]
        share = levels[-1 - inner] - levels[inner]
        axes.fill_between(at, low, high, color=BLUE, alpha=0.25, linewidth=0, label=f"{share:.0%} band")
    axes.axvline(past - 0.5, color="0.6", linewidth=0.8, linestyle=":")
    ticks = np.unique(np.linspace(0, past + steps - 1, 5).round().astype(int))
    axes.set_xticks(ticks, [str([*forecast.past_times, *forecast.times][i]) for i in ticks], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
