"""What a many-to-one task defines about its targets, and passes over those of data larger than memory."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recurra.data.columns.inputs import as_column, is_missing
from recurra.data.columns.scaling import Moments
from recurra.data.files.table import DataFile
from recurra.data.pieces import PieceColumn
from recurra.errors import DataError

from .running import Totals

MAX_CLASSES = 100_000
"""Different values of a target that classes may have."""


class TargetScan(Protocol):
    """Collects what `fit` learns from the targets of all pieces."""

    def add(self, column: PieceColumn, file: DataFile) -> None:
        """Adds the targets of a piece.

        Raises:
            DataError: a target cannot be used; the message names the place.
        """
        ...

    def learn(self, estimator: Any) -> np.ndarray:
        """Sets what `_fit_targets` of the estimator sets, and returns the number of sequences of each class.

        Of numbers, it returns the number of sequences.
        """
        ...


class ClassScan:
    """Counts the values of a column of classes."""

    def __init__(self) -> None:
        self._counts: Counter[Any] = Counter()
        self._last: tuple[PieceColumn, DataFile] | None = None

    def add(self, column: PieceColumn, file: DataFile) -> None:
        """See `TargetScan.add`."""
        if pa.types.is_nested(file.table.column(0).type):
            raise DataError("several labels for each sequence need data that fit into memory: give a part of them")
        for found in file.table.column(0).value_counts().to_pylist():
            self._counts[found["values"]] += found["counts"]
        self._last = column, file
        if len(self._counts) > MAX_CLASSES:
            raise DataError(f"the target has over {MAX_CLASSES:,} different values, not classes; try a regressor")

    def learn(self, estimator: Any) -> np.ndarray:
        """See `TargetScan.learn`."""
        if self._last is None:
            return np.zeros(0, np.int64)
        (column, file), values = self._last, list(self._counts)
        kind = file.table.schema.field(0).type
        table = pa.table([pa.array(values, kind)], names=file.table.column_names)
        y = column.targets(dataclasses.replace(file, table=table))
        known = ~is_missing(y)
        if not known.any():
            return np.zeros(0, np.int64)
        estimator._fit_targets(y[known])
        found = np.zeros(len(estimator.classes_), np.int64)
        np.add.at(found, estimator._encode_targets(y[known]).numpy(), np.array(list(self._counts.values()))[known])
        return found


class NumberScan:
    """Counts the numbers of a column and computes their mean and deviation."""

    def __init__(self) -> None:
        self._moments = Moments(1)
        self._rows = 0

    def add(self, column: PieceColumn, file: DataFile) -> None:
        """See `TargetScan.add`."""
        values = column.targets(file)
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise DataError(f"{file.where(0)}: the target must be numbers; got values such as {values[0]!r:.60}")
        values = values.astype(np.float64)
        known = values[~np.isnan(values)]
        if not np.isfinite(known).all():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise DataError(f"{file.where(row)}: the target is {values[row]}, not a finite number")
        self._moments.add(known[:, None])
        self._rows += len(known)

    def learn(self, estimator: Any) -> np.ndarray:
        """See `TargetScan.learn`."""
        if self._rows:
            estimator._keep_moments(self._moments, several=False)
        return np.array([self._rows])


class WithTargets:
    """Base of `SequenceEstimator`. `SequenceClassifier` and `SequenceRegressor` override these methods."""

    def _column(self, y: Any, rows: int, name: str = "y") -> np.ndarray:
        """Targets as an array with one row for each sequence, see `as_column`."""
        return as_column(y, rows, name)

    @property
    def target_kind(self) -> str:
        """What a sequence has: a class (`"classes"`), `"labels"` or `"numbers"`."""
        raise NotImplementedError

    def _may_have_members(self, y: np.ndarray) -> bool:
        """Whether several networks may be averaged for these targets."""
        return True

    def _fit_targets(self, y: np.ndarray) -> None:
        """Learns from the training targets what their encoding needs (classes, scale)."""
        raise NotImplementedError

    def _encode_targets(self, y: np.ndarray) -> Tensor:
        """Targets as the loss wants them."""
        raise NotImplementedError

    def _output_size(self) -> int:
        """Width of the network's output."""
        raise NotImplementedError

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        """Returns probabilities or numbers in the unit of the targets for outputs of the network."""
        raise NotImplementedError

    def _constant(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The best constant output for encoded targets, `(outputs,)`."""
        raise NotImplementedError

    def _targets_count(self) -> int:
        """Number of answers of a sequence: one, or the number of targets of a regression."""
        return 1

    def _weigh(self, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weight of each sequence in the loss and in the metric that chooses the best epoch."""
        return weights

    def new_totals(self, detailed: bool = False) -> Totals:
        """Returns empty sums for the metrics of the task.

        Args:
            detailed: whether they give the detailed metrics too.
        """
        raise NotImplementedError

    def target_scan(self) -> TargetScan:
        """Returns an object that learns the encoding of targets from parts of them."""
        raise NotImplementedError

    def target_weights(self, counts: np.ndarray) -> np.ndarray | None:
        """Returns the weight of each class in the loss, for data larger than memory; None for no weights.

        Args:
            counts: number of sequences of each class.
        """
        return None

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        """Returns the groups whose proportions the validation split keeps; None for none."""
        return None

    def _target_config(self) -> dict[str, Any]:
        """Returns the result of `_fit_targets`, for the model folder."""
        raise NotImplementedError

    def _load_targets(self, config: dict[str, Any]) -> None:
        """The reverse of `_target_config`."""
        raise NotImplementedError

    def _constant_name(self) -> str:
        """Name of the constant answer."""
        raise NotImplementedError

    def _targets_of(self, y: np.ndarray, known: np.ndarray) -> Tensor:
        """Encoded targets of all rows; 0 where they are not known."""
        try:
            encoded = self._encode_targets(y[known])
        except DataError as error:
            raise DataError(str(error), None if error.row is None else int(np.flatnonzero(known)[error.row])) from None
        targets = encoded.new_zeros(len(y), *encoded.shape[1:])
        targets[torch.from_numpy(known)] = encoded
        return targets
