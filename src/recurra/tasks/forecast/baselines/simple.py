"""Baselines of forecasts: the last value, the last season, a linear map of the context."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recurra.data.batching.windows import WindowBatch, Windows

from .linear import linear

LAST_VALUE = "last value"
"""Name of the baseline that takes the last value for every step."""


def last_value(context: Tensor, horizon: int) -> Tensor:
    """The last value for every step: `(batch, horizon, targets)` of `(batch, context, targets)`."""
    return context[:, -1:].expand(-1, horizon, -1)


def seasonal(context: Tensor, horizon: int, season: int) -> Tensor:
    """The value one season before each step, or as many seasons before as it takes to be in the past."""
    steps = torch.arange(horizon) % season - season
    return context[:, steps]


def ways(windows: Windows, season: int, weight: Tensor, bias: Tensor) -> dict[str, Callable[[WindowBatch], Tensor]]:
    """Every reference by its name, for `score`; the season only where the context holds one."""
    targets, horizon = windows.layout.targets, windows.horizon
    found: dict[str, Callable[[Tensor], Tensor]] = {LAST_VALUE: lambda c: last_value(c, horizon)}
    if 1 < season <= windows.context:
        found[f"season of {season}"] = lambda c: seasonal(c, horizon, season)
    found["linear map"] = lambda c: linear(c, weight, bias)

    def on_batches(way: Callable[[Tensor], Tensor]) -> Callable[[WindowBatch], Tensor]:
        return lambda batch: way(batch.values[:, :, :targets]).unsqueeze(-1)

    return {name: on_batches(way) for name, way in found.items()}
