"""Evaluation of any number of sequences in bounded memory: sums that give the same metrics as all outputs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch

from recurra.data.batching.batches import Batches, to_device
from recurra.data.columns.scaling import Moments
from recurra.errors import DataError
from recurra.tasks.baselines import Measured, compare, margin_of
from recurra.tasks.finite import finite, finite_loss

from .conformal import coverage_metrics
from .metrics.classes import ClassReport
from .metrics.groups import as_groups, check_number, described, masks
from .metrics.numbers import by_target


class Totals(Protocol):
    """Sums over the outputs of a model and the targets."""

    def add(self, output: np.ndarray, target: np.ndarray, losses: np.ndarray) -> None:
        """Adds a batch: outputs `(batch, outputs)`, encoded targets and the loss of each sequence."""
        ...

    def merge(self, other: Any) -> None:
        """Adds the sums of other outputs."""
        ...

    def metrics(self) -> dict[str, float]:
        """Returns the metrics of `PooledObjective.measure`."""
        ...

    def details(self) -> dict[str, Any]:
        """Returns the metrics of `PooledObjective.details`."""
        ...


class ClassTotals:
    """Number of sequences for each pair of true and predicted class, and the sum of the losses.

    Args:
        report: collects the detailed metrics; None for none.
    """

    def __init__(self, report: ClassReport | None = None) -> None:
        self._report = report
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._loss = 0.0

    def add(self, output: np.ndarray, target: np.ndarray, losses: np.ndarray) -> None:
        """See `Totals.add`."""
        pairs, counts = np.unique(np.stack([target, output.argmax(1)], 1), axis=0, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            self._pairs[(pair[0], pair[1])] += count
        self._loss += float(losses.sum(dtype=np.float64))
        if self._report is not None:
            self._report.add(output, target)

    def merge(self, other: ClassTotals) -> None:
        """See `Totals.merge`."""
        self._pairs.update(other._pairs)
        self._loss += other._loss
        if self._report is not None and other._report is not None:
            self._report.merge(other._report)

    def metrics(self) -> dict[str, float]:
        """See `Totals.metrics`."""
        from sklearn.metrics import accuracy_score, f1_score

        target, found = np.array(list(self._pairs)).T
        weight = np.array(list(self._pairs.values()))
        return {
            "accuracy": float(accuracy_score(target, found, sample_weight=weight)),
            "macro_f1": float(
                f1_score(target, found, average="macro", sample_weight=weight, zero_division=cast(Any, 0))
            ),
            "loss": self._loss / int(weight.sum()),
        }

    def details(self) -> dict[str, Any]:
        """See `Totals.details`."""
        return {} if self._report is None else self._report.result()


class NumberTotals:
    """Sums of the errors of predicted numbers.

    Args:
        mean: of the training targets, `(outputs,)`.
        scale: their standard deviation, `(outputs,)`.
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray) -> None:
        self._mean, self._scale = mean, scale
        self._targets = Moments(len(mean))
        self._rows, self._loss = 0, 0.0
        self._squares, self._sizes, self._own = (np.zeros(len(mean)) for _ in range(3))

    def add(self, output: np.ndarray, target: np.ndarray, losses: np.ndarray) -> None:
        """See `Totals.add`."""
        target, error = target.astype(np.float64), output.astype(np.float64) - target
        self._targets.add(target)
        self._rows += len(target)
        self._own += (error**2).sum(0)
        self._squares += ((error * self._scale) ** 2).sum(0)
        self._sizes += np.abs(error * self._scale).sum(0)
        self._loss += float(losses.sum(dtype=np.float64))

    def merge(self, other: NumberTotals) -> None:
        """See `Totals.merge`."""
        self._targets.merge(other._targets)
        self._rows += other._rows
        self._loss += other._loss
        self._own += other._own
        self._squares += other._squares
        self._sizes += other._sizes

    def metrics(self) -> dict[str, float]:
        """See `Totals.metrics`."""
        squares = self._squares / self._rows
        return {
            "r2": float(self._shares().mean()) if self._rows > 1 else float("nan"),
            "mse": float(squares.mean()),
            "rmse": float(np.sqrt(squares).mean()),
            "mae": float((self._sizes / self._rows).mean()),
            "loss": self._loss / self._rows,
        }

    def details(self) -> dict[str, Any]:
        """See `Totals.details`."""
        squares, sizes = self._squares / self._rows, self._sizes / self._rows
        return by_target(self._shares() if self._rows > 1 else None, squares, sizes)

    def _shares(self) -> np.ndarray:
        """Returns R² of each target, as scikit-learn defines it for constant targets."""
        total = self._targets.deviation**2 * self._rows
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, 1 - self._own / total, np.where(self._own > 0, 0.0, 1.0))


class Sums:
    """Sums over sequences, for the network (named `""`) and each baseline.

    Args:
        names: the names.
        new_totals: returns empty sums for the metrics; those of the network are detailed.
    """

    def __init__(self, names: Sequence[str], new_totals: Callable[[bool], Totals]) -> None:
        self.rows = 0
        self.totals = {name: new_totals(not name) for name in names}
        # what each sequence contributes to the compared metric, and the squared differences from the network
        self.each = dict.fromkeys(names, 0.0)
        self.squares = dict.fromkeys(names, 0.0)
        self.groups: dict[str | None, tuple[int, Totals]] = {}
        self.covered: Any = 0.0
        self.sizes: Any = 0.0

    def merge(self, other: Sums) -> None:
        """Adds the sums of other sequences."""
        self.rows += other.rows
        self.covered = self.covered + other.covered
        self.sizes = self.sizes + other.sizes
        for name, totals in self.totals.items():
            totals.merge(other.totals[name])
            self.each[name] += other.each[name]
            self.squares[name] += other.squares[name]
        for group, (count, totals) in other.groups.items():
            self.add_group(group, count, totals)

    def add_group(self, name: str | None, count: int, totals: Totals) -> None:
        """Adds the sums of some sequences of a group.

        Raises:
            DataError: there are too many groups.
        """
        if name not in self.groups:
            check_number(len(self.groups) + 1)
            self.groups[name] = (count, totals)
            return
        before, known = self.groups[name]
        known.merge(totals)
        self.groups[name] = (before + count, known)


class RunningEvaluation:
    """Evaluates a many-to-one model and its baselines on parts of a data set.

    Args:
        estimator: the model.
        coverage: see `SequenceEstimator.evaluate`.

    Attributes:
        sums: what was added so far.
    """

    def __init__(self, estimator: Any, coverage: float | None = None) -> None:
        self._estimator, self._objective = estimator, estimator._evaluation_objective()
        self._coverage = coverage
        self.sums = Sums(["", *(baseline.name for baseline in estimator.baselines_)], estimator.new_totals)

    def add(self, X: Any, y: Any, by: Any = None) -> None:
        """Adds labelled sequences; those without a target are left out.

        Args:
            X: the sequences.
            y: their targets.
            by: the group of each sequence, for metrics of groups; None for none.

        Raises:
            DataError: the data cannot be used.
        """
        from recurra.data.columns.inputs import is_missing

        if is_missing(y).all():
            return
        batches: Batches = self._estimator._labelled(X, y, None)
        groups = None if by is None else as_groups(by, len(y))
        self.sums.rows += batches.count
        with self._estimator._inference() as (network, device):
            for batch in batches:
                output = network(*to_device(batch, device)[:2]).float().cpu()
                own = self._count("", finite(output), batch.targets)
                if self._coverage is not None:
                    covered, sizes = self._estimator.regions(
                        output.numpy(), cast(Any, batch.targets).numpy(), self._coverage
                    )
                    self.sums.covered = self.sums.covered + covered.sum(0)
                    self.sums.sizes = self.sums.sizes + sizes.sum(0)
                if groups is not None:
                    self._count_groups(groups[batch.rows.numpy()], output, batch.targets)
                for baseline in self._estimator.baselines_:
                    other = self._count(baseline.name, baseline(batch.values, batch.lengths), batch.targets)
                    self.sums.squares[baseline.name] += float(((own - other) ** 2).sum())

    def merge(self, sums: Sums) -> None:
        """Adds the `sums` of another evaluation of the same model."""
        self.sums.merge(sums)

    def result(self) -> dict[str, Any]:
        """Returns what `Estimator.evaluate` returns.

        Raises:
            DataError: there were no targets.
        """
        from recurra.tasks.base import beside

        if not self.sums.rows:
            raise DataError("every target is missing: there is nothing to compare with")
        metrics = self.sums.totals[""].metrics()
        finite_loss(metrics)
        found = {}
        for baseline in self._estimator.baselines_:
            name = baseline.name
            # the influence of a sequence is its difference less the mean difference, divided by their number
            away = self.sums.squares[name] - (self.sums.each[""] - self.sums.each[name]) ** 2 / self.sums.rows
            margin = margin_of(self.sums.rows, max(away, 0.0) / self.sums.rows**2)
            found[name] = Measured(self.sums.totals[name].metrics(), None, baseline.constant, margin)
        comparison = None
        if found:
            own, objective = Measured(metrics), self._objective
            comparison = compare(own, found, objective.monitor, objective.monitor_mode == "max", objective.perfect)
        baselines = {name: measured.metrics for name, measured in found.items()}
        details = self.sums.totals[""].details()
        groups = {name: (count, totals.metrics()) for name, (count, totals) in self.sums.groups.items()}
        grouped: dict[str, Any] = {"groups": described(groups)} if groups else {}
        if self._coverage is not None:
            shares = self.sums.covered / self.sums.rows, self.sums.sizes / self.sums.rows
            grouped |= coverage_metrics(self._coverage, *shares, self._estimator.region_size)
        return {**metrics, **details, "n": self.sums.rows, **grouped, **beside(baselines, comparison)}

    def _count_groups(self, groups: np.ndarray, output: torch.Tensor, target: Any) -> None:
        """Adds outputs of the network to the sums of their groups."""
        losses = self._objective.losses(output, target).numpy()
        for name, mask in masks(groups):
            totals = self._estimator.new_totals()
            totals.add(output.numpy()[mask], target.numpy()[mask], losses[mask])
            self.sums.add_group(name, int(mask.sum()), totals)

    def _count(self, name: str, output: torch.Tensor, target: Any) -> np.ndarray:
        """Adds the outputs of a model. Returns what each sequence contributes to the compared metric."""
        losses, each = self._objective.losses(output, target), self._objective.each(output, target).double().numpy()
        self.sums.totals[name].add(output.numpy(), target.numpy(), losses.numpy())
        self.sums.each[name] += float(each.sum())
        return each
