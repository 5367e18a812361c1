"""Bands that hold what they say: quantiles moved by what was observed on the validation part."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ENOUGH = 100  # observations behind a shift; fewer windows share those of neighbouring steps
MOST = 20_000_000  # errors held at once


def most_windows(horizon: int, targets: int, quantiles: int) -> int:
    """Returns the largest number of validation windows that `shifts` can use within its memory limit."""
    return max(ENOUGH, MOST // max(horizon * targets * quantiles, 1))


def nested(found: Tensor, levels: Sequence[float]) -> Tensor:
    """Sorts the quantiles of each step and makes their interval hold the point forecast.

    The point forecast is not changed. A quantile below the median that is greater than the forecast is lowered to it,
    and a quantile above the median that is less than the forecast is raised. The interval only grows, so its coverage
    does not fall.

    Args:
        found: `(..., 1 + quantiles)`, the point forecast first.
        levels: of the quantiles, rising.

    Returns:
        A new tensor of the same shape.

    Example:
        >>> nested(torch.tensor([[5.0, 6.0, 4.0, 7.0]]), [0.1, 0.5, 0.9]).tolist()
        [[5.0, 4.0, 6.0, 7.0]]
    """
    if not levels:
        return found
    point, quantiles = found[..., :1], found[..., 1:].sort(-1).values
    level = torch.tensor(list(levels), dtype=torch.float64)
    first, last = level == level[0], level == level[-1]
    below = (level < 0.5) | (level == 0.5) & first & ~last
    above = (level > 0.5) | (level == 0.5) & last & ~first
    quantiles = torch.where(below, quantiles.minimum(point), quantiles)
    quantiles = torch.where(above, quantiles.maximum(point), quantiles)
    return torch.cat([point, quantiles], -1)


def shifts(errors: Tensor, levels: Sequence[float]) -> Tensor:
    """By how much each quantile must move so that the right share of the observed values is below it.

    Split conformal prediction, each quantile by itself (Romano, Patterson and Candès, 2019, arXiv:1905.03222, theorem
    2).

    Args:
        errors: observed value less quantile `(windows, horizon, targets, quantiles)`, NaN where nothing was observed.
        levels: of the quantiles.

    Returns:
        `(horizon, targets, quantiles)`.

    Example:
        >>> errors = torch.arange(99.0).reshape(99, 1, 1, 1)
        >>> shifts(errors, [0.9]).item()
        89.0
    """
    windows, horizon = errors.shape[:2]
    reach = max(0, math.ceil((ENOUGH / max(windows, 1) - 1) / 2))
    found = torch.zeros(errors.shape[1:])
    wanted = torch.tensor(list(levels), dtype=torch.float64)
    for step in range(horizon):
        near = errors[:, max(0, step - reach) : step + reach + 1].flatten(0, 1).sort(0).values  # NaN last
        count = near.isfinite().sum(0)
        rank = (count + 1) * wanted  # rounded outward, counted from 1
        rank = torch.where(wanted >= 0.5, (rank - 1e-9).ceil(), (rank + 1e-9).floor()).long()
        at = rank.clamp(min=1).minimum(count.clamp(min=1)) - 1
        found[step] = near.gather(0, at.unsqueeze(0))[0].nan_to_num()
    return found
