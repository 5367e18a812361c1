"""Losses and metrics that a user gives an estimator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError


def own_losses(function: Callable[[Tensor, Tensor], Any], output: Tensor, target: Tensor, unit: str) -> Tensor:
    """Returns the loss of each row of the outputs by a function of a user, `(rows,)`; of several targets their mean.

    Args:
        function: called with outputs and targets.
        output: `(rows, …)`.
        target: `(rows,)` or `(rows, targets)`.
        unit: what a row is, for messages.

    Raises:
        UsageError: the function gives something else.
    """
    found = function(output, target)
    if not isinstance(found, Tensor) or found.shape[:1] != output.shape[:1]:
        given = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(
            f"loss must return a tensor with one value per {unit}, ({len(output)},), but it returned {given}; "
            'a loss of torch does so with reduction="none"'
        )
    return found.flatten(1).mean(1) if found.dim() > 1 else found


def by_name(metrics: Any) -> dict[str, Any]:
    """Returns metrics by name: that of the function or class without a given one.

    Raises:
        UsageError: two have the same name.
    """
    if metrics is None:
        return {}
    if isinstance(metrics, Mapping):
        return dict(metrics)
    found: dict[str, Any] = {}
    for metric in metrics if isinstance(metrics, list | tuple) else [metrics]:
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", type(metric).__name__.lower())
        if name in found:
            raise UsageError(f"two metrics have the name {name}; give a dictionary with different names")
        found[name] = metric
    return found


class OwnMetrics:
    """Metrics of a user, beside those of a task.

    Args:
        metrics: functions or objects, one, in a list, or by name. A function is called as those of `sklearn.metrics`,
            an object as those of torchmetrics. Names of functions that are not there are ignored.
    """

    def __init__(self, metrics: Any) -> None:
        self.metrics = {name: metric for name, metric in by_name(metrics).items() if not isinstance(metric, str)}

    def __bool__(self) -> bool:
        return bool(self.metrics)

    def beside(
        self,
        found: dict[str, float],
        true: Any,
        predicted: Any,
        *,
        scores: Any = None,
        codes: Any = None,
        weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Returns the metrics of a task, and those of the user.

        Args:
            found: the metrics of the task.
            true: true values, for functions.
            predicted: those of the model.
            scores: predictions for objects; None for `predicted`.
            codes: true values for objects; None for `true`.
            weight: weight of each value, or None.

        Raises:
            UsageError: the task has a metric with the same name, or a metric is no number.
        """
        both = dict(found)
        objects = (predicted if scores is None else scores, true if codes is None else codes)
        for name, metric in self.metrics.items():
            if name in found:
                raise UsageError(f"the task has a metric {name} already; give yours another name in a dictionary")
            value = _value(metric, (true, predicted), objects, weight)
            try:
                both[name] = float(value)
            except (TypeError, ValueError):
                raise UsageError(f"the metric {name} must be one number, not {value!r:.60}") from None
        return both


def _value(metric: Any, given: tuple[Any, Any], objects: tuple[Any, Any], weight: np.ndarray | None) -> Any:
    if hasattr(metric, "update") and hasattr(metric, "compute"):
        metric.reset()
        metric.update(*(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in objects))
        return metric.compute()
    weighs = weight is not None and "sample_weight" in inspect.signature(metric).parameters
    return metric(*given, **({"sample_weight": weight} if weighs else {}))
