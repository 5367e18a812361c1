"""Loss and metrics that a user gives an estimator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError


class Judged(NamedTuple):
    """Answers of a model and the truth, as metrics take them.

    Attributes:
        true: classes or numbers, as `fit` got them; of several labels a matrix of 0 and 1, as all others.
        predicted: those that `predict` gives.
        scores: probabilities of the classes, or the predicted numbers.
        codes: numbers of the true classes, or the true numbers.
    """

    true: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    codes: np.ndarray


Judge = Callable[[np.ndarray, np.ndarray], Judged]
"""Converts outputs of the network and encoded targets."""


def extended(objective: Any, loss: Any, metrics: Any, judge: Judge) -> Any:
    """Returns an objective with the loss and the further metrics of a user.

    Args:
        objective: a `PooledObjective`, which is changed.
        loss: function of outputs and encoded targets; anything else keeps the loss.
        metrics: functions or objects, one, in a list, or by name. Names of functions that are not there are ignored.
        judge: converts outputs and targets for the metrics.
    """
    if callable(loss):
        function: Any = loss
        objective.losses, objective.perfect = OwnLoss(function), None
    found = {name: metric for name, metric in by_name(metrics).items() if not isinstance(metric, str)}
    if found:
        objective.measure = OwnMetrics(objective.measure, found, judge)
    return objective


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


class OwnLoss:
    """Loss of each sequence by a function of a user.

    Args:
        function: `function(output, target)`, with one value per sequence; those of several targets are averaged.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Returns the losses, `(batch,)`.

        Raises:
            UsageError: the function gives something else.
        """
        found = self.function(output, target)
        if not isinstance(found, Tensor) or found.shape[:1] != output.shape[:1]:
            given = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(
                f"loss must return a tensor with one value per sequence, ({len(output)},), but it returned {given}; "
                'a loss of torch does so with reduction="none"'
            )
        return found.flatten(1).mean(1) if found.dim() > 1 else found


class OwnMetrics:
    """Metrics of the task and those of a user.

    Args:
        measure: gives the metrics of the task.
        metrics: by name; a function is called as those of `sklearn.metrics`, an object as those of torchmetrics.
        judge: converts outputs and targets.
    """

    def __init__(self, measure: Callable[..., dict[str, float]], metrics: dict[str, Any], judge: Judge) -> None:
        self.measure, self.metrics, self.judge = measure, metrics, judge

    def __call__(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        """Returns all metrics of a data set.

        Raises:
            UsageError: the task has a metric with the same name, or a metric is no number.
        """
        found, judged = self.measure(output, target, weight), self.judge(output, target)
        for name, metric in self.metrics.items():
            if name in found:
                raise UsageError(f"the task has a metric {name} already; give yours another name in a dictionary")
            value = _value(metric, judged, weight)
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                raise UsageError(f"the metric {name} must be one number, not {value!r:.60}") from None
        return found


def _value(metric: Any, judged: Judged, weight: np.ndarray | None) -> Any:
    if hasattr(metric, "update") and hasattr(metric, "compute"):
        metric.reset()
        metric.update(torch.from_numpy(judged.scores), torch.from_numpy(judged.codes))
        return metric.compute()
    weighs = weight is not None and "sample_weight" in inspect.signature(metric).parameters
    return metric(judged.true, judged.predicted, **({"sample_weight": weight} if weighs else {}))
