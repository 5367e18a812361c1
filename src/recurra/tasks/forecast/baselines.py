"""Baselines of forecasts: the last value, the last season, a linear map of the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.windows import WindowBatch, Windows
from recurra.ops import total

SHRINKAGE = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties tried, in units of the mean variance of a step of the context."""


LAST_VALUE = "last value"
"""Name of the baseline that takes the last value for every step."""


def last_value(context: Tensor, horizon: int) -> Tensor:
    """The last value for every step: `(batch, horizon, targets)` of `(batch, context, targets)`."""
    return context[:, -1:].expand(-1, horizon, -1)


def seasonal(context: Tensor, horizon: int, season: int) -> Tensor:
    """The value one season before each step, or as many seasons before as it takes to be in the past."""
    steps = torch.arange(horizon) % season - season
    return context[:, steps]


def linear(context: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The last value plus a linear map of the differences from it; `weight` is `(context, horizon)`."""
    last = context[:, -1:]
    return last + ((context - last).transpose(1, 2) @ weight + bias).transpose(1, 2)


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


def fit_linear(train: Windows, valid: Windows | None) -> tuple[Tensor, Tensor]:
    """Least squares with the ridge penalty that serves the validation windows best.

    One map serves all targets. Windows with missing values count as they were filled.

    Args:
        train: windows to fit, in a fixed order.
        valid: windows that choose the penalty; the middle one is taken without them.

    Returns:
        Weight `(context, horizon)` and bias `(horizon,)` for `linear`.
    """
    size = train.context + 1
    products, moments = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, train.horizon).double()
    for batch in train:
        inputs, targets = _rows(batch.values[:, :, : train.layout.targets], batch.targets)
        products += inputs.T @ inputs
        moments += inputs.T @ targets
    scale = products.diagonal()[:-1].mean().clamp(min=1e-12)
    penalty = torch.ones(size, dtype=torch.float64)
    penalty[-1] = 1e-9  # the bias is hardly held back
    found = []
    for share in SHRINKAGE if valid is not None else SHRINKAGE[2:3]:
        solved = torch.linalg.solve(products + torch.diag(penalty * scale * share), moments).float()
        found.append((0.0 if valid is None else _error(valid, solved), solved))
    best = min(found, key=lambda pair: pair[0])[1]
    return best[:-1].contiguous(), best[-1].clone()


def _rows(context: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Context and future of each target of each window as rows, less the last value, with a 1 for the bias."""
    last = context[:, -1:]
    inputs = (context - last).transpose(1, 2).flatten(0, 1).double()
    inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    return inputs, (targets - last).transpose(1, 2).flatten(0, 1).double()


def _error(windows: Windows, solved: Tensor) -> float:
    found = 0.0
    for batch in windows:
        context = batch.values[:, :, : windows.layout.targets]
        error = (linear(context, solved[:-1], solved[-1]) - batch.targets).square()
        found += float(total(error if batch.weights is None else error * batch.weights))
    return found


def find_season(series: Sequence[np.ndarray], longest: int) -> int:
    """The length of the season: the lag at which the changes of the series resemble themselves most.

    Args:
        series: arrays `(time, targets)` without missing values.
        longest: greatest season to look for.

    Returns:
        Steps of a season, 1 where there is none.

    Example:
        >>> import numpy as np
        >>> find_season([np.sin(np.arange(200) * 2 * np.pi / 12)[:, None]], 60)
        12
    """
    total, power, steps = np.zeros(longest + 2), 0.0, 0
    for one in series:
        changes = np.diff(one, axis=0)
        lags = min(longest + 2, len(changes) // 2)
        if lags < 3:
            continue
        changes = changes - changes.mean(0)
        size = 1 << (2 * len(changes) - 1).bit_length()
        spectrum = np.abs(np.fft.rfft(changes, size, axis=0)) ** 2
        products = np.fft.irfft(spectrum.sum(1), size)[:lags]
        total[:lags] += products * len(changes) / (len(changes) - np.arange(lags))
        power += products[0]
        steps += len(changes)
    if power <= 0:
        return 1
    likeness = total / power
    peaks = [k for k in range(2, longest + 1) if likeness[k] >= max(likeness[k - 1], likeness[k + 1])]
    chance = 0.1 + 3 / np.sqrt(max(steps, 1))  # more than noise shows
    best = max(peaks, key=lambda k: likeness[k], default=1)
    if best == 1 or likeness[best] < chance:
        return 1
    # not a multiple of the season: of the parts of the best lag, the first whose own multiples are all as good
    return next(k for k in peaks if best % k == 0 and likeness[k : best + 1 : k].min() >= 0.75 * likeness[best])
