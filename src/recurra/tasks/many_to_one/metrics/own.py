"""Loss and metrics of a user in the objective of classifiers and regressors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from recurra.training.own import OwnMetrics, own_losses


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
        metrics: see `OwnMetrics`.
        judge: converts outputs and targets for the metrics.
    """
    if callable(loss):
        objective.losses, objective.perfect = partial(own_losses, loss, unit="sequence"), None
    if own := OwnMetrics(metrics):
        objective.measure = _Measure(objective.measure, own, judge)
    return objective


class _Measure(NamedTuple):
    """Computes the metrics of the task and those of a user."""

    measure: Callable[..., dict[str, float]]
    own: OwnMetrics
    judge: Judge

    def __call__(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        found, judged = self.measure(output, target, weight), self.judge(output, target)
        return self.own.beside(
            found, judged.true, judged.predicted, scores=judged.scores, codes=judged.codes, weight=weight
        )
