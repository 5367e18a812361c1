"""Forecasts of one series, and their rows in a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.data.columns.panel import Columns


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
