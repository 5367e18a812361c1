"""Area under the ROC curve of each class against the rest: exact from all scores, or from histograms of them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

LIMIT = 16.0
"""Greatest log-odds in a histogram, of a probability of 0.9999999; scores beyond it are in the last bin."""
BINS = 4096
MOST_COUNTS = 1 << 20
"""Greatest number of counts in the histograms of all classes; many classes have fewer bins each."""
KEPT = 1 << 18
"""Greatest number of scores that `RunningRoc` keeps: those of 131,072 sequences with two classes."""
LARGEST = 700.0
"""Greatest log-odds of an exact score."""


class Areas(NamedTuple):
    """Areas under the ROC curves.

    Attributes:
        areas: of each class; None where the class, or every other class, does not occur.
        margin: greatest possible difference of the mean from the exact one; 0 for exact areas.
    """

    areas: list[float | None]
    margin: float


class Roc(Protocol):
    """Collects scores of sequences."""

    def add(self, scores: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        """Adds log-odds of the classes `(batch, classes)`, numbers of the true classes and weights."""
        ...

    def result(self) -> Areas:
        """Returns the areas."""
        ...


class ExactRoc:
    """Areas from all scores, which are kept in memory."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, scores: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        """See `Roc.add`."""
        self.parts.append((scores, target, weight))

    def result(self) -> Areas:
        """See `Roc.result`."""
        from sklearn.metrics import roc_auc_score

        target, weight = (np.concatenate([part[n] for part in self.parts]) for n in (1, 2))
        found: list[float | None] = []
        for number in range(self.parts[0][0].shape[1]):
            own = target == number
            if not (weight[own].sum() > 0 and weight[~own].sum() > 0):
                found.append(None)
                continue
            scores = np.clip(np.concatenate([part[0][:, number] for part in self.parts]), -LARGEST, LARGEST)
            found.append(float(roc_auc_score(own, scores, sample_weight=weight)))
        return Areas(found, 0.0)


class BinnedRoc:
    """Areas from a histogram of the scores for each class. The memory does not grow with the number of sequences.

    Pairs of sequences whose scores are in one bin count half, as pairs of equal scores do.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._bins = max(min(BINS, MOST_COUNTS // (2 * classes)), 16)
        self._counts = np.zeros((classes, 2, self._bins))

    def add(self, scores: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        """See `Roc.add`."""
        inside = (np.clip(scores, -LIMIT, LIMIT) + LIMIT) / (2 * LIMIT)
        bins = np.minimum((inside * self._bins).astype(np.int64), self._bins - 1)
        for number, counts in enumerate(self._counts):
            place = (target == number) * self._bins + bins[:, number]
            counts += np.bincount(place, weight, 2 * self._bins).reshape(2, self._bins)

    def merge(self, other: BinnedRoc) -> None:
        """Adds the scores of another object."""
        self._counts += other._counts

    def result(self) -> Areas:
        """See `Roc.result`."""
        found: list[float | None] = []
        margins = []
        for rest, own in self._counts:
            pairs = own.sum() * rest.sum()
            if pairs <= 0:
                found.append(None)
                continue
            ties = float((own * rest).sum() / pairs)
            below = np.cumsum(rest) - rest
            found.append(float((own * below).sum() / pairs) + ties / 2)
            margins.append(ties / 2)
        return Areas(found, float(np.mean(margins)) if margins else 0.0)


class RunningRoc:
    """Areas from all scores while there are few, else from histograms of them.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._classes, self._kept = classes, 0
        self._roc: ExactRoc | BinnedRoc = ExactRoc()

    def add(self, scores: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        """See `Roc.add`."""
        self._roc.add(scores, target, weight)
        self._kept += scores.size
        if self._kept > KEPT:
            self._bin()

    def merge(self, other: RunningRoc) -> None:
        """Adds the scores of another object."""
        if isinstance(other._roc, BinnedRoc):
            self._bin().merge(other._roc)
            return
        for part in other._roc.parts:
            self.add(*part)

    def result(self) -> Areas:
        """See `Roc.result`."""
        return self._roc.result()

    def _bin(self) -> BinnedRoc:
        """Replaces the scores by their histograms, and returns these."""
        if isinstance(self._roc, ExactRoc):
            binned = BinnedRoc(self._classes)
            for part in self._roc.parts:
                binned.add(*part)
            self._roc = binned
        return self._roc


def log_odds(output: np.ndarray) -> np.ndarray:
    """Returns the log-odds of each class against the rest.

    Args:
        output: outputs of a network `(batch, classes)`, which a softmax turns into probabilities.
    """
    if output.shape[1] == 2:
        difference = output[:, 1:] - output[:, :1]
        return np.concatenate([-difference, difference], 1)
    log = log_probabilities(output)
    with np.errstate(divide="ignore"):  # a probability of 1
        return log - np.log(-np.expm1(log))


def log_probabilities(output: np.ndarray) -> np.ndarray:
    """Returns the logarithm of the softmax of outputs `(batch, classes)`."""
    shifted = output - output.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
