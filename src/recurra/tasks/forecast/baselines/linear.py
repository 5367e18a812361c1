"""The linear map of forecasts: ridge least squares on the last steps of the context."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.windows import Windows
from recurra.ops import total

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties tried, in units of the mean variance of a step of the context."""
REACHES = (1.0, 0.7, 0.5, 0.25)
"""Shares of the context tried. The map does not use the steps before."""


class Choice(NamedTuple):
    """A linear map among those tried.

    Attributes:
        reach: steps of the context that it uses, the last ones.
        penalty: see `PENALTIES`.
    """

    reach: int
    penalty: float


class LinearMap(NamedTuple):
    """A linear map.

    Attributes:
        choice: how it was fitted.
        weight: `(context, horizon)`.
        bias: `(horizon,)`.
    """

    choice: Choice
    weight: Tensor
    bias: Tensor

    def __call__(self, context: Tensor) -> Tensor:
        """Forecasts `(batch, horizon, targets)` of contexts `(batch, context, targets)`."""
        return linear(context, self.weight, self.bias)


def linear(context: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The last value plus a linear map of the differences from it; `weight` is `(context, horizon)`."""
    last = context[:, -1:]
    return last + ((context - last).transpose(1, 2) @ weight + bias).transpose(1, 2)


def fit_linear(train: Windows, valid: Windows | None) -> LinearMap:
    """Fits the map whose reach and penalty serve the validation windows best.

    One map serves all targets. Windows with missing values count as they were filled.

    Args:
        train: windows to fit, in a fixed order.
        valid: windows that choose; without them the map uses the whole context and the middle penalty.
    """
    solutions = LeastSquares(train)
    if valid is None:
        return next(solutions.maps([Choice(train.context, PENALTIES[3])]))
    reaches = sorted({max(1, round(train.context * share)) for share in REACHES}, reverse=True)
    maps = list(solutions.maps(Choice(reach, penalty) for reach in reaches for penalty in PENALTIES))
    errors = torch.zeros(len(maps), dtype=torch.float64)
    for batch in valid:
        context = batch.values[:, :, : valid.layout.targets]
        weights = torch.ones_like(batch.targets) if batch.weights is None else batch.weights
        errors += torch.stack([total((one(context) - batch.targets).square().double() * weights) for one in maps])
    return maps[int(errors.argmin())]


class LeastSquares:
    """Least squares of some windows, for any reach and penalty.

    Args:
        train: windows to fit, in a fixed order.
    """

    def __init__(self, train: Windows) -> None:
        self.context = size = train.context
        products = torch.zeros(size + 1, size + 1, dtype=torch.float64)
        moments = torch.zeros(size + 1, train.horizon, dtype=torch.float64)
        squares = torch.zeros(train.horizon, dtype=torch.float64)
        for batch in train:
            inputs, targets = _rows(batch.values[:, :, : train.layout.targets], batch.targets)
            products += inputs.T @ inputs
            moments += inputs.T @ targets
            squares += targets.square().sum(0)
        self.count = count = products[-1, -1].clamp(min=1.0)
        self.scale = products.diagonal()[:-1].mean().clamp(min=1e-12)
        self.means, self.offsets = products[-1, :-1] / count, moments[-1] / count
        # without the means, so that the penalty does not hold back the bias
        self.products = products[:-1, :-1] - count * self.means[:, None] * self.means
        self.moments = moments[:-1] - count * self.means[:, None] * self.offsets
        self.squares = squares - count * self.offsets.square()
        self.independent = _steps(train) / torch.arange(1.0, train.horizon + 1, dtype=torch.float64)

    def maps(self, choices: Iterable[Choice]) -> Iterator[LinearMap]:
        """Returns the map of each choice."""
        solved: dict[int, tuple[Tensor, Tensor]] = {}
        for choice in choices:
            part = slice(self.context - choice.reach, None)
            if choice.reach not in solved:
                solved[choice.reach] = torch.linalg.eigh(self.products[part, part])
            values, vectors = solved[choice.reach]
            turned = (vectors.T @ self.moments[part]) / (values.clamp(min=0) + choice.penalty * self.scale)[:, None]
            weight = torch.zeros_like(self.moments)
            weight[part] = vectors @ turned
            yield LinearMap(choice, weight.float(), self._bias(weight).float())

    def _bias(self, weight: Tensor) -> Tensor:
        """The mean error of the map without a bias, less what chance explains, `(horizon,)`.

        The mean change of a random walk in the training part says nothing about later changes. The mean is multiplied
        by 1 less its squared standard error over its square, and not by less than 0 (a positive-part James–Stein
        estimate). Errors `h` steps ahead are alike for `h` steps.
        """
        bias = self.offsets - self.means @ weight
        unexplained = self.squares - (weight * (2 * self.moments - self.products @ weight)).sum(0)
        error = unexplained.clamp(min=0) / self.count / self.independent.clamp(min=1)
        return bias * (1 - error / bias.square().clamp(min=1e-300)).clamp(min=0)


def _steps(windows: Windows) -> float:
    """Number of steps that the windows forecast first, also those between them."""
    return float(sum(np.ptp(windows.begins[windows.series == one]) + 1 for one in np.unique(windows.series)))


def _rows(context: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Context and future of each target of each window as rows, less the last value, with a 1 for the bias."""
    last = context[:, -1:]
    inputs = (context - last).transpose(1, 2).flatten(0, 1).double()
    inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    return inputs, (targets - last).transpose(1, 2).flatten(0, 1).double()
