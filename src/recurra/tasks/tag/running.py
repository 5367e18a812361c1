"""Evaluation of a tagger on parts of a data set, from the observations of all parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.errors import DataError

if TYPE_CHECKING:
    from recurra.tasks.base import Estimator


class Observations:
    """Observations of a network and its baselines; the metrics are those of `Estimator.evaluate` on all data.

    The memory grows with the number of sequences, by a few bytes for each step.

    Args:
        estimator: the model.

    Attributes:
        sums: number of sequences, and the observations of the objective by name; those of the network are named `""`.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._estimator, self._objective = estimator, estimator._evaluation_objective()
        names = ["", *(baseline.name for baseline in estimator.baselines_)]
        self.sums: tuple[int, dict[str, list[Any]]] = 0, {name: [] for name in names}

    def add(self, X: Any, y: Any) -> None:
        """Adds labelled data."""
        batches = self._estimator._labelled(X, y, None)
        observed = {"": self._estimator._observed(batches, self._objective)}
        for baseline in self._estimator.baselines_:
            observed[baseline.name] = [baseline.observe(self._objective, batch) for batch in batches]
        self.merge((batches.count, observed))

    def merge(self, sums: tuple[int, dict[str, list[Any]]]) -> None:
        """Adds the `sums` of another evaluation of the same model."""
        count, observed = self.sums
        for name, some in sums[1].items():
            observed[name] += some
        self.sums = count + sums[0], observed

    def result(self) -> dict[str, Any]:
        """Returns what `Estimator.evaluate` returns.

        Raises:
            DataError: there were no targets.
        """
        from recurra.tasks.base import beside, measured

        count, observed = self.sums
        if not count:
            raise DataError("every target is missing: there is nothing to compare with")
        found = {b.name: measured(b, self._objective, observed[b.name]) for b in self._estimator.baselines_}
        metrics, baselines, comparison = self._estimator._judged(self._objective, observed[""], found)
        return {**metrics, "n": count, **beside(baselines, comparison)}
