"""Loss and metrics of forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.data.batching.windows import WindowBatch
from recurra.errors import UsageError
from recurra.ops import total

LOSSES = ("l1", "l2", "huber")


class ForecastObjective:
    """Loss of the point forecast plus the pinball loss of every quantile, each step and target weighing the same.

    Args:
        kind: of the point forecast: `"l1"` (little moved by outliers), `"l2"`, `"huber"`, or a function of a user.
        quantiles: the levels of the network's further outputs.
    """

    monitor = "loss"
    monitor_mode = "min"
    perfect: float | None = None

    def __init__(self, kind: Any, quantiles: Sequence[float]) -> None:
        self.kind = kind
        self.levels = torch.tensor(list(quantiles), dtype=torch.float32)

    def losses(self, output: Tensor, targets: Tensor) -> Tensor:
        """Loss of each step and target: `(batch, horizon, targets)` for outputs `(…, 1 + quantiles)`."""
        error = targets.unsqueeze(-1) - output
        point = error[..., 0]
        if callable(self.kind):
            losses = _own(self.kind, output[..., 0], targets)
        elif self.kind == "l1":
            losses = point.abs()
        elif self.kind == "l2":
            losses = point.square()
        else:
            losses = torch.nn.functional.huber_loss(point, torch.zeros_like(point), reduction="none")
        if len(self.levels):
            levels, rest = self.levels.to(output.device), error[..., 1:]
            losses = losses + torch.maximum(levels * rest, (levels - 1) * rest).sum(-1)
        return losses

    def loss(self, network: torch.nn.Module, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """Sum of the losses of a batch, and the number of values that were there."""
        losses = self.losses(network(batch.values, batch.future), batch.targets)
        return total(losses if batch.weights is None else losses * batch.weights), self.weight(batch)

    def weight(self, batch: WindowBatch) -> Tensor:
        """Number of the values that were there."""
        return total(torch.ones_like(batch.targets) if batch.weights is None else batch.weights)

    def observe(self, network: torch.nn.Module, batch: WindowBatch) -> Tensor:
        """Sums over a batch: losses, squared errors, absolute errors, values."""
        output = network(batch.values, batch.future).float()
        weights = torch.ones_like(batch.targets) if batch.weights is None else batch.weights
        error = output[..., 0] - batch.targets
        parts = (self.losses(output, batch.targets), error.square(), error.abs(), torch.ones_like(error))
        return torch.stack([total(part.double() * weights) for part in parts]).cpu()

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Mean squared and absolute error of the scaled values, and the mean loss."""
        loss, square, absolute, count = torch.stack(observed).sum(0).tolist()
        count = max(count, 1.0)
        return {"mse": square / count, "mae": absolute / count, "loss": loss / count}


def _own(function: Any, output: Tensor, targets: Tensor) -> Tensor:
    """Returns the losses by a function of a user, in the shape of the targets."""
    found = function(output, targets)
    if not isinstance(found, Tensor) or found.shape != targets.shape:
        given = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(
            f"loss must return a tensor of the shape (batch, horizon, targets) = {tuple(targets.shape)}, but it "
            f'returned {given}; a loss of torch does so with reduction="none"'
        )
    return found
