"""Detailed metrics of a classifier: of each class, confusion matrix, ROC-AUC and calibration."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .roc import Areas, ExactRoc, Roc, RunningRoc, log_odds, log_probabilities

BINS = 10
"""Number of bins of equal width for the probability of the answer."""
CHUNK = 1 << 22
"""Outputs that are converted to double precision at a time."""
MOST_CLASSES = 1000
"""Greatest number of classes with a whole confusion matrix."""


class ClassReport:
    """Sums over sequences that give the detailed metrics of a classifier.

    Args:
        classes: the classes.
        roc: collects the scores for ROC-AUC.
    """

    def __init__(self, classes: Sequence[Any], roc: Roc) -> None:
        self._classes, self._roc = list(classes), roc
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._loss = 0.0
        self._bins = np.zeros((3, BINS))  # weight, probability of the answer, right answers

    def add(self, output: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Adds sequences.

        Args:
            output: outputs of the network `(batch, classes)`.
            target: numbers of the true classes `(batch,)`.
            weight: of each sequence `(batch,)`; None for 1.
        """
        output = output.astype(np.float64)
        weight = np.ones(len(target)) if weight is None else weight.astype(np.float64)
        found, log = output.argmax(1), log_probabilities(output)
        pairs, place = np.unique(np.stack([target, found], 1), axis=0, return_inverse=True)
        for (true, answer), count in zip(pairs.tolist(), np.bincount(place.ravel(), weight).tolist(), strict=True):
            self._pairs[true, answer] += count
        rows = np.arange(len(target))
        self._loss -= float((log[rows, target] * weight).sum())
        confidence = np.exp(log[rows, found])
        bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
        for sums, values in zip(self._bins, (weight, weight * confidence, weight * (found == target)), strict=True):
            sums += np.bincount(bins, values, BINS)
        self._roc.add(log_odds(output), target, weight)

    def merge(self, other: ClassReport) -> None:
        """Adds the sums of other sequences. Both objects are of `running_report`."""
        self._pairs.update(other._pairs)
        self._loss += other._loss
        self._bins += other._bins
        self._roc.merge(other._roc)  # type: ignore[attr-defined]

    def result(self) -> dict[str, Any]:
        """Returns the metrics. A metric that is not defined is None.

        Returns:
            - `macro_precision` and `macro_recall`: over the classes that occur or are predicted.
            - `roc_auc`: of two classes; of several the mean over the classes, each against the rest. If it is None or
              not exact, `roc_auc_note` says why; `roc_auc_margin` is the greatest error of one that is not exact.
            - `log_loss`: in nats.
            - `calibration_error`: the expected calibration error.
            - `classes`: the metrics of each class.
            - `confusion_matrix`: the number of sequences by true (row) and predicted class.
            - `confusions`: the pairs of classes that are confused, most frequent first.
            - `calibration`: the bins of the probability of the answer that are not empty.

            Weighted sequences count by their weights.
        """
        from sklearn.metrics import precision_recall_fscore_support

        target, found = np.array(list(self._pairs)).T
        weight = np.array(list(self._pairs.values()), np.float64)
        total = float(weight.sum())
        areas = self._roc.result()
        how: Any = {"sample_weight": weight, "zero_division": 0}
        precision, recall, _, _ = precision_recall_fscore_support(target, found, average="macro", **how)
        return {
            "macro_precision": float(precision),
            "macro_recall": float(recall),
            **self._roc_auc(areas),
            "log_loss": self._loss / total,
            "calibration_error": float(np.abs(self._bins[1] - self._bins[2]).sum() / total),
            "classes": [
                {**row, "roc_auc": area}
                for row, area in zip(by_class(self._classes, target, found, weight), areas.areas, strict=True)
            ],
            "confusion_matrix": confusions(len(self._classes), target, found, weight),
            "confusions": self._confusions(),
            "calibration": self._calibration(),
        }

    def _roc_auc(self, areas: Areas) -> dict[str, Any]:
        absent = [str(label) for label, area in zip(self._classes, areas.areas, strict=True) if area is None]
        if absent:
            counts = Counter[int]()
            for (true, _), count in self._pairs.items():
                counts[true] += count
            lacking = [str(label) for number, label in enumerate(self._classes) if not counts[number] > 0]
            return {"roc_auc": None, "roc_auc_note": _absent(lacking)}
        mean = float(np.mean([area for area in areas.areas if area is not None]))
        if not areas.margin:
            return {"roc_auc": mean}
        note = f"computed from a histogram of the scores: at most {areas.margin:.1g} from the exact value"
        return {"roc_auc": mean, "roc_auc_margin": areas.margin, "roc_auc_note": note}

    def _confusions(self) -> list[dict[str, Any]]:
        wrong = [(count, *pair) for pair, count in self._pairs.items() if pair[0] != pair[1] and count > 0]
        wrong.sort(key=lambda found: (-found[0], found[1:]))
        return [
            {"class": self._classes[true], "predicted": self._classes[answer], "n": _count(count)}
            for count, true, answer in wrong
        ]

    def _calibration(self) -> list[dict[str, Any]]:
        return [
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "n": _count(weight),
                "probability": float(probability / weight),
                "accuracy": float(right / weight),
            }
            for number, (weight, probability, right) in enumerate(self._bins.T)
            if weight > 0
        ]


def confusions(
    classes: int, target: np.ndarray, found: np.ndarray, weight: np.ndarray | None
) -> list[list[float]] | None:
    """Returns the number of sequences by true (row) and predicted class; None for too many classes.

    Args:
        classes: number of classes.
        target: numbers of the true classes `(batch,)`.
        found: numbers of the predicted classes `(batch,)`.
        weight: of each sequence `(batch,)`; None for 1.
    """
    if classes > MOST_CLASSES:
        return None
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(target, found, labels=np.arange(classes), sample_weight=weight)
    return [[_count(value) for value in row] for row in matrix.tolist()]


def by_class(
    classes: Sequence[Any], target: np.ndarray, found: np.ndarray, weight: np.ndarray | None
) -> list[dict[str, Any]]:
    """Returns the number of sequences of each class, precision, recall and F1; None where one is not defined.

    Args:
        classes: the classes.
        target: numbers of the true classes, `(batch,)`.
        found: numbers of the predicted classes.
        weight: of each sequence; None for 1.
    """
    from sklearn.metrics import precision_recall_fscore_support

    how: Any = {"sample_weight": weight, "zero_division": np.nan}
    values: Any = precision_recall_fscore_support(target, found, labels=np.arange(len(classes)), **how)
    rows = []
    for label, precision, recall, f1, support in zip(classes, *values, strict=True):
        scores = {"precision": _defined(precision), "recall": _defined(recall), "f1": _defined(f1)}
        rows.append({"class": label, "n": _count(support), **scores})
    return rows


def describe_classes(
    classes: Sequence[Any], output: np.ndarray, target: np.ndarray, weight: np.ndarray | None
) -> dict[str, Any]:
    """Returns what `ClassReport.result` returns, with the exact ROC-AUC, for all outputs of a network."""
    report = ClassReport(classes, ExactRoc())
    step = max(CHUNK // len(classes), 1)
    for start in range(0, len(target), step):
        part = slice(start, start + step)
        report.add(output[part], target[part], None if weight is None else weight[part])
    return report.result()


def running_report(classes: Sequence[Any]) -> ClassReport:
    """Returns a report for parts of a data set, with the exact ROC-AUC of few sequences, else from histograms."""
    return ClassReport(classes, RunningRoc(len(classes)))


def _absent(names: Sequence[str]) -> str:
    from recurra._util.messages import listed

    words = "the class {} does" if len(names) == 1 else "the classes {} do"
    return f"not defined: {words.format(listed(names, 5))} not occur in these data"


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _count(value: float) -> float:
    """Returns a sum of weights; without weights it is a whole number."""
    return int(value) if float(value).is_integer() else float(value)
