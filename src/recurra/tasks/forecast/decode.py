"""From the network's answer for one horizon to forecasts of any length, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.windows import WindowBatch, Windows
from recurra.ops import total
from recurra.tasks.baselines import Measured
from recurra.training.own import OwnMetrics

from .baselines.simple import LAST_VALUE
from .network import ForecastNetwork

Way = Callable[[WindowBatch], Tensor]
"""Forecasts of a batch."""


def roll(network: ForecastNetwork, values: Tensor, future: Tensor, levels: Sequence[float], take: int) -> Tensor:
    """Forecasts as many steps as `future` has, going on from its own forecasts where that is beyond one answer.

    Past-only features keep their last value. From the second answer on, quantiles lie as far from the point forecast
    as if the errors of the answers were independent: deviations add up as squares.

    Args:
        network: answers `horizon` steps at once.
        values: `(batch, context, columns)`.
        future: known columns `(batch, steps, known)`.
        levels: of the quantiles.
        take: how many steps of an answer are kept before the next is asked for, at most the horizon.

    Returns:
        `(batch, steps, targets, 1 + quantiles)`.
    """
    steps, horizon, context = future.shape[1], network.horizon, values.shape[1]
    sign = torch.sign(torch.tensor(list(levels), device=values.device) - 0.5)
    parts: list[Tensor] = []
    base: Tensor | None = None
    begins = range(0, steps, take)
    for begin in begins:
        known = future[:, begin : begin + horizon]
        missing = horizon - known.shape[1]
        if missing:
            known = torch.cat([known, known[:, -1:].expand(-1, missing, -1)], 1)
        block = network(values, known)[:, : min(take, steps - begin)]
        point, rest = block[..., :1], block[..., 1:]
        if base is not None:
            rest = point + sign * ((rest - point).square() + base.square()).sqrt()
        base = (rest - point)[:, -1:]
        parts.append(torch.cat([point, rest], -1))
        if begin < begins[-1]:
            values = torch.cat([values, _as_context(network, values, known, point)], 1)[:, -context:]
    return torch.cat(parts, 1)


def _as_context(network: ForecastNetwork, values: Tensor, known: Tensor, point: Tensor) -> Tensor:
    """Forecast steps as columns of the context of the next ones."""
    layout, steps = network.layout, point.shape[1]
    features = values[:, -1:, layout.targets : layout.ahead.start].expand(-1, steps, -1)
    parts = [point[..., 0], features, known[:, :steps]]
    if layout.masked:
        parts.append(torch.ones_like(torch.cat(parts[:2], -1)))
    return torch.cat(parts, -1)


def score(
    windows: Windows,
    ways: Mapping[str, Way],
    scales: np.ndarray,
    metric: str = "mse",
    further: OwnMetrics | None = None,
) -> dict[str, Measured]:
    """Errors of several ways to forecast the same windows.

    Args:
        windows: what to forecast.
        ways: each gives `(batch, horizon, targets, …)` in scaled values; the first along the last axis is the point
            forecast, the others, where there are at least two, hold the ends of the band.
        scales: mean and size of one scaled unit in the data's own, for each series, `(series, 2, targets)`.
        metric: `"mse"` or `"mae"`, for the items.
        further: metrics of a user, of the values that were observed, in the data's own units.

    Returns:
        For each way, mean squared and absolute errors in scaled values and in the data's own units, and the share of
        the values in the band. The items are blocks of as many windows of a series as the horizon has steps, since
        windows that overlap say the same.
    """
    sums = {name: torch.zeros(6, dtype=torch.float64) for name in ways}
    items: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    values: dict[str, list[np.ndarray]] = {name: [] for name in ("", *ways)}
    blocks: list[np.ndarray] = []
    for batch in windows:
        scale = torch.from_numpy(scales[windows.series[batch.rows.numpy()]])[:, None]
        mean, size = scale[:, :, 0], scale[:, :, 1]
        weights = torch.ones_like(batch.targets) if batch.weights is None else batch.weights
        for name, way in ways.items():
            forecast = way(batch)
            error, band = forecast[..., 0] - batch.targets, forecast[..., 1:]
            inside = torch.zeros_like(error)
            if band.shape[-1] > 1:
                inside = (band.amin(-1) <= batch.targets) & (batch.targets <= band.amax(-1))
            own = error * size
            parts = (error.square(), error.abs(), own.square(), own.abs(), inside, torch.ones_like(error))
            sums[name] += torch.stack([total(part.double() * weights) for part in parts])
            chosen = parts[0] if metric == "mse" else parts[1]
            each = [(part.double() * weights).numpy().sum((1, 2)) for part in (chosen, parts[-1])]
            items[name].append(np.stack(each, 1))
            if further:
                values[name].append((forecast[..., 0] * size + mean)[weights > 0].numpy())
        if further:
            values[""].append((batch.targets * size + mean)[weights > 0].numpy())
        rows = batch.rows.numpy()
        blocks.append(np.stack([windows.series[rows], windows.begins[rows] // windows.horizon], 1))
    names = ["mse", "mae", "mse_units", "mae_units", "coverage"]
    _, block = np.unique(np.concatenate(blocks), axis=0, return_inverse=True)
    found = {}
    for way, sums_of in sums.items():
        together = np.concatenate(items[way])
        columns = [np.bincount(block.ravel(), column) for column in together.T]
        means = (sums_of[:-1] / sums_of[-1].clamp(min=1)).tolist()
        metrics: dict[str, Any] = dict(zip(names, means, strict=True))
        if further:
            metrics = further.beside(metrics, np.concatenate(values[""]), np.concatenate(values[way]))
        found[way] = Measured(metrics, np.stack(columns, 1), way == LAST_VALUE)
    return found
