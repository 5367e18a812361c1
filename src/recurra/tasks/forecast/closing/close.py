"""The end of a fit: linear map, shares of the baselines, calibration of the bands, and the final metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.data.batching.windows import WindowBatch, Windows
from recurra.data.columns.panel import Panel
from recurra.tasks.base import PREDICT_BATCH
from recurra.tasks.baselines import Comparison, no_held_out
from recurra.tasks.forecast.baselines import simple as references
from recurra.tasks.forecast.baselines.linear import LeastSquares, LinearMap, fit_linear
from recurra.tasks.forecast.baselines.mixture import ALONE, Products, Shares, products_of, share_of_network, smallest
from recurra.tasks.forecast.intervals import most_windows, shifts

from .measure import measure

Spans = Sequence[tuple[int, int]]

VALID_WINDOWS = 1024
"""Validation windows that choose the linear map and the shares; the closing metrics are taken over all."""
STAGES = ((0.5, 0.75, 0.1), (0.75, 1.0, 0.3))
"""Ends of the steps to fit and to forecast, as shares of the training part, and the weight beside the validation part:
early maps are fitted on less, and early steps are less like those to come."""
ROWS_PER_STEP = 4
"""Fewest rows for each step of the context of a linear map that stands for the final one."""


def close(forecaster: Any, panel: Panel, spans: Spans, valid: tuple[Panel, Spans]) -> None:
    """Fits what is beside the network, and computes the final metrics on all validation windows.

    Args:
        forecaster: with a trained network.
        panel: the training data.
        spans: training part of each series.
        valid: the validation data and their part of each series.
    """
    network, levels, targets = forecaster._network, forecaster._levels(), len(panel.columns.target)
    every = forecaster._windows(panel, spans, PREDICT_BATCH, most=max(2048, 50_000 // targets))
    watched = forecaster._windows(*valid, PREDICT_BATCH, most=max(VALID_WINDOWS // targets, 128))
    found = fit_linear(every, watched if watched.count else None)
    network.linear_weight.copy_(found.weight)
    network.linear_bias.copy_(found.bias)
    if not watched.count:
        forecaster._conclude(no_held_out(forecaster._compared_metric, {}))
        return
    if not network.memoryless:  # the network without memory shows what the last segment alone is good for
        forecaster.shares_ = network.shares = _shares(forecaster, panel, spans, valid, found)
        forecaster.notes_.append(network.shares.describe())
    if levels:
        counted_on = forecaster._windows(
            *valid, PREDICT_BATCH, most=most_windows(forecaster.horizon, targets, len(levels))
        )
        network.shifts.copy_(shifts(torch.cat([_errors(forecaster, batch) for batch in counted_on]), levels))
    metrics = measure(forecaster, *valid)
    forecaster.metrics_["baselines"] = metrics.pop("baselines")
    forecaster._conclude(Comparison(**metrics.pop("comparison")))
    forecaster.metrics_["valid"] = {k: v for k, v in metrics.items() if k not in ("n", "coverage_wanted")}


def _shares(forecaster: Any, panel: Panel, spans: Spans, valid: tuple[Panel, Spans], found: LinearMap) -> Shares:
    """The shares of the baselines from all stages, then that of the network from the validation part."""
    targets, season = len(panel.columns.target), forecaster.season_
    most = max(VALID_WINDOWS // targets, 256)
    watched = forecaster._windows(*valid, PREDICT_BATCH, most=most)
    seen = [_products(watched, season, found)]
    for train, test, weight in _stages(forecaster, panel, spans, targets, most):
        if train.count * targets >= ROWS_PER_STEP * forecaster.context_ and test.count:
            early = next(LeastSquares(train).maps([found.choice]))
            seen.append(_products(test, season, early).times(weight))
    last, *seasonal, linear = smallest(Products.joined(seen)).tolist()
    base = Shares(last, sum(seasonal), linear, 0.0)
    share = share_of_network(products_of(watched, [_with(forecaster, shares) for shares in (base, ALONE)]))
    return base.with_network(share)


def _stages(
    forecaster: Any, panel: Panel, spans: Spans, targets: int, most: int
) -> Iterator[tuple[Windows, Windows, float]]:
    """Windows of earlier origins, and their weights: what is fitted ends before what is forecast."""
    for cut, end, weight in STAGES:
        train = [(0, int(cut * last)) for _, last in spans]
        test = [(int(cut * last), int(end * last)) if cut * last > 1 else (1, 0) for _, last in spans]
        yield (
            forecaster._windows(panel, train, PREDICT_BATCH, most=max(2048, 25_000 // targets)),
            forecaster._windows(panel, test, PREDICT_BATCH, most=most),
            weight,
        )


def _products(windows: Windows, season: int, linear: LinearMap) -> Products:
    ways = references.ways(windows, season, linear.weight, linear.bias)
    return products_of(windows, list(ways.values()))


def _with(forecaster: Any, shares: Shares) -> Any:
    """Returns the forecasts with these shares as a function of batches."""

    def answer(batch: WindowBatch) -> Tensor:
        forecaster._network.shares = shares
        return forecaster._roll(batch.values, batch.future)

    return answer


def _errors(forecaster: Any, batch: WindowBatch) -> Tensor:
    """Observed values less uncalibrated quantiles of a batch, NaN where nothing was observed."""
    found = batch.targets.unsqueeze(-1) - forecaster._roll(batch.values, batch.future)[..., 1:]
    if batch.weights is not None:
        found[batch.weights == 0] = torch.nan
    return found
