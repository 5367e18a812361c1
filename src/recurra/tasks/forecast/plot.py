"""History, forecast and bands as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.atomic import written
from recurra._util.plotting import BLUE, VERMILION
from recurra.data.columns.panel import Columns
from recurra.errors import UsageError

from .result import Forecast

PANELS = 12
"""Pictures of more series and targets would be unreadable."""


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
