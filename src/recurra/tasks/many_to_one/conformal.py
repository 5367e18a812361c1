"""Sets of classes and intervals of numbers that hold the true answer with a stated probability.

Split conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Lei and others,
"Distribution-free predictive inference for regression", 2018, algorithm 2; for classes Sadinle, Lei and Wasserman,
"Least ambiguous set-valued classifiers with bounded error levels", 2019). A library is not used: the method is one
order statistic, and a library would be another dependency of the server, whose objects the model folder cannot store.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from recurra._util.schema import Record, check, parse_json
from recurra.errors import UsageError
from recurra.tasks.base import Estimator

from .objective import joined

FILE = "calibration.json"
"""Name of the file of scores in a model folder."""
MOST = 2000
"""Scores that a model keeps. With more, a random part of them is kept, which has the same guarantee."""
NOT_CALIBRATED = (
    "the model has no calibration: nothing was held out when it was trained, or an earlier version trained it\n"
    "Train it with validation data (--valid FILE, in Python validation_data or validation_fraction), or call "
    "calibrate(X, y) with data that training did not use."
)


class CalibrationRecord(Record):
    """calibration.json: a list of scores for each output of the network, rising."""

    scores: list[list[float]]

    def check(self) -> None:
        """See `Record.check`."""
        lengths = {len(column) for column in self.scores}
        if len(lengths) != 1 or not 0 < lengths.pop() <= MOST:
            raise ValueError(f"scores are not lists of 1 to {MOST} numbers")
        if any(column != sorted(column) or not all(map(math.isfinite, column)) for column in self.scores):
            raise ValueError("scores are not finite numbers that rise")


@dataclass(frozen=True)
class Calibration:
    """Scores of data that training did not use; a score is higher if the model is more wrong.

    Attributes:
        scores: `(sequences, outputs)`, each column rising.

    Example:
        >>> calibration = Calibration.of(np.arange(99.0)[:, None])
        >>> calibration.limits(0.9).tolist(), calibration.limits(0.999).tolist()
        ([89.0], [inf])
    """

    scores: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> Calibration:
        """Returns a calibration with at most `MOST` of some scores.

        Args:
            scores: `(sequences, outputs)`, in any order.
        """
        if len(scores) > MOST:
            scores = scores[np.random.default_rng(0).choice(len(scores), MOST, replace=False)]
        return cls(np.sort(scores.astype(np.float64), axis=0))

    def limits(self, coverage: float) -> np.ndarray:
        """Returns the score `(outputs,)` that a new sequence does not exceed with the probability `coverage`.

        It is the score of rank ⌈(n + 1) coverage⌉ among n. With exchangeable data the probability is at least
        `coverage`. It is infinite if n is smaller than this rank.

        Raises:
            UsageError: `coverage` is not between 0 and 1.
        """
        if not isinstance(coverage, int | float | np.number) or not 0 < coverage < 1:
            raise UsageError(f"coverage must be a number between 0 and 1, such as 0.9, not {coverage!r:.40}")
        rank = math.ceil((len(self.scores) + 1) * coverage - 1e-9)
        return self.scores[rank - 1] if rank <= len(self.scores) else np.full(self.scores.shape[1], np.inf)

    def note(self, coverage: float, consequence: str) -> str:
        """Returns a sentence if there are too few scores for a coverage; else an empty text.

        Args:
            coverage: as in `limits`.
            consequence: what the model answers then.
        """
        if np.isfinite(self.limits(coverage)).all():
            return ""
        least = math.ceil(coverage / (1 - coverage) - 1e-9)
        return (
            f"a coverage of {coverage:g} needs a calibration on at least {least:,} sequences, and this model has "
            f"{len(self.scores):,}: {consequence}"
        )

    def to_file(self) -> str:
        """Returns the content of `FILE`."""
        return json.dumps({"scores": self.scores.T.tolist()})

    @classmethod
    def from_file(cls, text: str, outputs: int) -> Calibration:
        """Reads the content of `FILE`.

        Args:
            text: the content.
            outputs: number of columns of scores.

        Raises:
            FileError: it is damaged.
            ValueError: it has another number of columns.
        """
        found = check(CalibrationRecord, parse_json(text, FILE), FILE)
        if len(found.scores) != outputs:
            raise ValueError(f"{FILE} has {len(found.scores)} lists of scores, not {outputs}")
        return cls(np.array(found.scores, np.float64).T)


class WithCoverage(Estimator):
    """Base of the estimators whose answers are sets or intervals with a stated coverage."""

    calibration_: Calibration | None

    # what a task defines

    def _scores(self, output: np.ndarray, target: np.ndarray) -> np.ndarray:
        """How wrong the outputs are for encoded targets, for the calibration: `(batch, outputs)`."""
        raise NotImplementedError

    region_size: ClassVar[str]
    """Key of the mean size of the answers with a stated coverage, in an evaluation."""
    without_limit: ClassVar[str]
    """What these answers are if there are too few data for the calibration."""

    def regions(self, output: np.ndarray, target: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns whether answers with a stated coverage hold the targets, and how large they are.

        Args:
            output: outputs of the network, `(batch, outputs)`.
            target: encoded targets.
            coverage: see `evaluate`.

        Returns:
            Two arrays `(batch, targets)`.
        """
        raise NotImplementedError

    # for users

    def calibrate(self, X: Any, y: Any) -> Self:
        """Calibrates the sets or intervals of a fitted model, instead of the validation data of `fit`.

        Args:
            X: sequences that training did not use, as in `fit`.
            y: their targets; sequences whose target is missing are left out.

        Returns:
            The estimator itself.
        """
        check_is_fitted(self, "network_")
        self._calibrate_on(self._observed(self._labelled(X, y, None), self._objective()))
        return self

    def _calibrate_on(self, observed: list[Any]) -> None:
        output, target, _ = joined(observed)
        self.calibration_ = Calibration.of(self._scores(output, target))

    def calibration(self) -> Calibration:
        """Returns the scores behind answers with a stated coverage.

        Raises:
            UsageError: nothing was held out in training, and `calibrate` was not called.
        """
        check_is_fitted(self, "network_")
        if self.calibration_ is None:
            raise UsageError(NOT_CALIBRATED)
        return self.calibration_

    def _limits(self, coverage: float) -> np.ndarray:
        """Limits of the scores `(outputs,)`, with a warning if there are too few data for the calibration."""
        note = self.calibration().note(coverage, self.without_limit)
        if note:
            warnings.warn(note, stacklevel=3)
        return self.calibration().limits(coverage)


def coverage_metrics(coverage: float, covered: Any, sizes: Any, name: str) -> dict[str, Any]:
    """Returns the metrics of an evaluation.

    Args:
        coverage: the coverage that was asked for.
        covered: share of the sequences whose true answer is in their set or interval, `(outputs,)`.
        sizes: mean size of the sets or width of the intervals, `(outputs,)`.
        name: key of the size.

    Returns:
        The measured `coverage`, the mean over several targets; `coverage_wanted`; and the size, a list for several
        targets, None if it is infinite.
    """
    found = [float(size) if math.isfinite(size) else None for size in sizes]
    return {
        "coverage": float(np.mean(covered)),
        "coverage_wanted": float(coverage),
        name: found[0] if len(found) == 1 else found,
    }
