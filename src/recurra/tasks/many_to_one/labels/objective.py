"""Loss, metrics and constant answer for several labels of each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.tasks.many_to_one.objective import PooledObjective

from .targets import chosen


class LabelLoss(PooledObjective):
    """Loss and metrics of several labels: binary cross-entropy of each label.

    Args:
        classes: the labels.
        training: True to choose the best epoch by the loss. The F1 of a network that has hardly been trained is high by
            chance, as all its probabilities are near 0.5.
        weights: weights of each label in the loss, `(2, labels)`: of the sequences without and with it; None for 1.
    """

    monitor = "micro_f1"
    monitor_mode = "max"
    perfect: float | None = 1.0

    def __init__(self, classes: Sequence[Any], training: bool = False, weights: Tensor | None = None) -> None:
        self.classes, self.weights = classes, weights
        if training:
            self.monitor, self.monitor_mode, self.perfect = "loss", "min", 1e-3

    def losses(self, output: Tensor, target: Any) -> Tensor:
        """Mean over the labels of the negative log-probability of the truth, `(batch,)`."""
        losses = torch.nn.functional.binary_cross_entropy_with_logits(output, target, reduction="none")
        if self.weights is not None:
            without, of_label = self.weights.to(losses)
            losses = losses * torch.where(target > 0, of_label, without)
        return losses.mean(1)

    def measure(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, float]:
        """Micro- and macro-averaged F1, share of sequences whose labels are all right, and mean loss in nats."""
        rows = by_label(self.classes, output, target, weight)
        same = (chosen(output) == (target > 0)).all(1)
        losses = self.losses(torch.from_numpy(output), torch.from_numpy(target)).numpy()
        scores = [row["f1"] or 0.0 for row in rows]  # not defined for a label that neither occurs nor is predicted
        top, bottom = _f1_parts(output, target, weight).sum(0)
        return {
            "micro_f1": float(top / bottom) if bottom else 0.0,
            "macro_f1": float(np.mean(scores)),
            "subset_accuracy": float(np.average(same, weights=weight)),
            "loss": float(np.average(losses, weights=weight)),
        }

    def details(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> dict[str, Any]:
        """Micro-averaged precision and recall, and the metrics of each label."""
        w = np.ones(len(target)) if weight is None else weight
        both, found, true = (
            float((values * w[:, None]).sum()) for values in (chosen(output) & (target > 0), chosen(output), target > 0)
        )
        return {
            "micro_precision": both / found if found else 0.0,
            "micro_recall": both / true if true else 0.0,
            "labels": by_label(self.classes, output, target, weight),
        }

    def items(self, observed: list[Any]) -> np.ndarray:
        """Numerator and denominator of the micro-averaged F1 for each sequence, `(batch, 2)`."""
        parts = [
            _f1_parts(output.numpy(), target.numpy(), None if weight is None else weight.numpy())
            for output, target, weight in observed
        ]
        return np.concatenate(parts)


def _f1_parts(output: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Returns `2 TP` and `2 TP + FP + FN` of each sequence, `(batch, 2)`; F1 is the ratio of their sums."""
    found, true = chosen(output), target > 0
    parts = np.stack([2 * (found & true).sum(1), found.sum(1) + true.sum(1)], 1).astype(np.float64)
    return parts if weight is None else parts * weight[:, None]


def by_label(
    classes: Sequence[Any], output: np.ndarray, target: np.ndarray, weight: np.ndarray | None
) -> list[dict[str, Any]]:
    """Returns for each label the number of sequences that have it, precision, recall and F1; None if not defined.

    Args:
        classes: the labels.
        output: outputs of the network, `(batch, labels)`.
        target: `(batch, labels)`, 1 for each label that a sequence has.
        weight: of each sequence; None for 1.
    """
    w = np.ones((len(target), 1)) if weight is None else weight.astype(np.float64)[:, None]
    found, true = chosen(output), target > 0
    both, predicted, real = (((values * w).sum(0)).tolist() for values in (found & true, found, true))
    rows = []
    for label, hit, guessed, count in zip(classes, both, predicted, real, strict=True):
        n = int(count) if float(count).is_integer() else count
        scores = {
            "precision": _share(hit, guessed),
            "recall": _share(hit, count),
            "f1": _share(2 * hit, guessed + count),
        }
        rows.append({"label": label, "n": n, **scores})
    return rows


def balanced(targets: np.ndarray) -> np.ndarray:
    """Returns weights with which the sequences with a label, and those without it, have the same sum.

    Args:
        targets: `(batch, labels)`, 1 for each label that a sequence has.

    Returns:
        `(2, labels)`, without and with the label. They are 1 if all sequences, or none, have it.

    Example:
        >>> balanced(np.array([[1, 1], [0, 1], [0, 1], [0, 1]])).round(2).tolist()
        [[0.67, 1.0], [2.0, 1.0]]
    """
    count = (targets > 0).sum(0)
    both = np.stack([len(targets) - count, count])
    return np.where((both > 0).all(0), len(targets) / (2 * np.maximum(both, 1)), 1.0)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def constant_labels(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the best constant output, `(labels,)`: the log-odds of each label's frequency.

    Labels of at most half of the sequences would never be predicted. So the most frequent labels, as many as give the
    best micro-averaged F1, get at least the probability 0.5.

    Example:
        >>> targets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]], float)
        >>> (constant_labels(targets, np.ones(5)) > 0).tolist()
        [True, True, False]
    """
    shares = np.average(targets, axis=0, weights=weights)
    found = np.log(np.maximum(shares, 1e-6)) - np.log(np.maximum(1 - shares, 1e-6))
    order = np.argsort(-shares, kind="stable")
    counts = np.arange(1, len(shares) + 1)
    scores = 2 * np.cumsum(shares[order]) / np.maximum(counts + shares.sum(), 1e-300)
    best = order[: int(scores.argmax()) + 1]
    found[best] = np.maximum(found[best], 1e-3)
    return found
