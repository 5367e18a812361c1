"""Loss and metrics of the many-to-one tasks, weights of sequences, and the verdict on the order of steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra._util.messages import readable
from recurra.data.batching.batches import Batch
from recurra.data.columns.inputs import as_column
from recurra.errors import DataError
from recurra.ops import total
from recurra.tasks.finite import finite


class PooledObjective:
    """Loss and metrics where the network gives one output for each sequence."""

    monitor: str
    monitor_mode: str

    def losses(self, output: Tensor, target: Any) -> Tensor:
        """Loss of each sequence, `(batch,)`."""
        raise NotImplementedError

    def measure(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        """Returns the metrics of a whole data set."""
        raise NotImplementedError

    def details(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, Any]:
        """Returns the detailed metrics of a whole data set, such as those of each class."""
        raise NotImplementedError

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Returns the contribution of each sequence to the metric that is compared with the baselines, `(batch,)`."""
        raise NotImplementedError

    def loss(self, network: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weighted sum of the losses of a batch, and the sum of the weights."""
        losses = self.losses(network(batch.values, batch.lengths), batch.targets)
        return total(losses if batch.weights is None else losses * batch.weights), self.weight(batch)

    def weight(self, batch: Batch) -> Tensor:
        """Sum of the weights of the sequences."""
        return torch.tensor(float(len(batch.lengths))) if batch.weights is None else total(batch.weights)

    def observe(self, network: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Outputs, targets and weights of a batch."""
        output = network(batch.values, batch.lengths).float().cpu()
        target, weight = (None if t is None else t.cpu() for t in (batch.targets, batch.weights))
        return output, target, weight

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Returns the metrics over all batches."""
        return self.measure(*joined(observed))

    def items(self, observed: list[Any]) -> np.ndarray:
        """Numerator and denominator of the compared metric for each sequence, `(batch, 2)`."""
        each = torch.cat([self.each(output, target) for output, target, _ in observed]).double()
        weights = torch.ones_like(each) if observed[0][2] is None else torch.cat([w for _, _, w in observed]).double()
        return torch.stack([each * weights, weights], 1).numpy()


def joined(observed: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Returns the outputs, targets and weights of all batches.

    Raises:
        NonFiniteError: an output is not finite.
    """
    columns = zip(*observed, strict=True)
    output, target, weight = (None if c[0] is None else torch.cat(c) for c in columns)
    finite(output)  # type: ignore[arg-type]
    return tuple(None if values is None else values.numpy() for values in (output, target, weight))  # type: ignore[return-value]


def order_sentence(metric: str, own: float, other: float, sign: int, margin: float) -> str:
    """Returns a sentence on an order test.

    Args:
        metric: name of the compared metric.
        own: its value in order.
        other: its value with shuffled steps.
        sign: 1 if more is better, else -1.
        margin: difference that chance explains.

    Example:
        >>> order_sentence("accuracy", 0.9, 0.7, 1, 0.02)
        'The order of the steps matters to this model: accuracy is 0.9000, and 0.7000 with shuffled steps.'
    """
    figures = f"{metric} is {readable(own)}, and {readable(other)} with shuffled steps"
    if sign * (own - other) > margin:
        return f"The order of the steps matters to this model: {figures}."
    why = "a difference within chance" if math.isfinite(margin) else "too few sequences to tell"
    return f"The order of the steps does not clearly matter to this model: {figures} ({why}). Compare with cell none."


def as_weights(weights: Any, rows: int) -> np.ndarray | None:
    """One weight per sequence `(rows,)`, None for none; `DataError` says what is wrong with others."""
    if weights is None:
        return None
    values = as_column(weights, rows, "sample_weight")
    if values.ndim != 1:
        raise DataError(f"sample_weight has shape {values.shape}; give one weight per sequence, shape ({rows},)")
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        first = values[0].item() if isinstance(values[0], np.generic) else values[0]
        raise DataError(f"sample_weight must hold numbers, got {first!r:.40}") from None
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise DataError("sample_weight must be finite, not negative, and not all zero")
    return values
