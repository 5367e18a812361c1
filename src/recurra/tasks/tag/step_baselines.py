"""The simple models of tagging the steps of numeric sequences: the most frequent tag, and a linear model of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import Batches
from recurra.tasks.baselines import Baseline, single_threaded_fit
from recurra.tasks.counts import FrequentTag

MAX_STEPS = 100_000
"""Steps that the linear model is fitted on at most; of more, evenly spaced ones."""
MAX_WORK = 20_000_000
"""Steps times features times tags of its fit at most, so that the fit takes seconds."""
ABSENT = -30.0
"""Bias of a tag that the model does not give."""


@dataclass(frozen=True)
class LinearSteps(Baseline):
    """Logistic regression on the numbers of a step, without its neighbours.

    Attributes:
        bias: of each tag, `(tags,)`.
        weights: `(features, tags)`.
    """

    bias: np.ndarray
    weights: np.ndarray

    axes: ClassVar = {"bias": ("tags",), "weights": ("features", "tags")}

    def __call__(self, batch: Any) -> Tensor:
        """Scores `(batch, time, tags)`."""
        found = np.einsum("btf,fk->btk", batch.values.numpy().astype(np.float64), self.weights) + self.bias
        return torch.from_numpy(found.astype(np.float32))


def fit_steps(batches: Batches, tags: int) -> list[Baseline]:
    """Fits the most frequent tag and, if at least two tags occur, logistic regression on the values of a step."""
    values, targets = _steps(batches)
    counts = np.bincount(targets, minlength=tags)
    frequent = FrequentTag("most frequent tag", "", counts / max(len(targets), 1))
    if np.count_nonzero(counts) < 2:
        return [frequent]
    most = min(MAX_STEPS, max(MAX_WORK // (values.shape[1] * tags), 1000))
    places = np.linspace(0, len(values) - 1, most).astype(np.int64) if len(values) > most else np.arange(len(values))
    known = np.unique(targets[places])
    if len(known) < 2:
        return [frequent]
    note = f"fitted on {len(places):,} of {len(values):,} steps" if len(places) < len(values) else ""
    return [frequent, _fit_linear(values[places], targets[places], known, tags, note)]


def _steps(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Returns values `(steps, features)` and tags `(steps,)` of the steps with a tag, in the order of the rows."""
    targets: Any = batches.targets
    rows = np.sort(batches.rows)
    tags = np.concatenate(targets.take(rows))
    values = np.concatenate(batches.store.take(rows))
    return values[tags >= 0], tags[tags >= 0]


def _fit_linear(values: np.ndarray, targets: np.ndarray, known: np.ndarray, tags: int, note: str) -> Baseline:
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(max_iter=200)
    with single_threaded_fit():
        model.fit(values.astype(np.float64), targets)
    bias, weights = np.full(tags, ABSENT), np.zeros((values.shape[1], tags))
    columns = known[1:] if len(known) == 2 else known  # of two tags, one row of coefficients: the second
    bias[known] = 0.0
    bias[columns], weights[:, columns] = model.intercept_, model.coef_.T
    return LinearSteps("logistic regression on the values of a step", note, _rounded(bias), _rounded(weights))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Returns seven digits, so that the numbers in the model folder are short."""
    return np.array([float(f"{value:.7g}") for value in values.ravel().tolist()]).reshape(values.shape)
