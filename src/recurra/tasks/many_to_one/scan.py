"""Passes over the targets of data larger than memory: what `fit` learns from all targets before training."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from recurra.data.columns.inputs import is_missing
from recurra.data.columns.scaling import Moments
from recurra.data.files.table import DataFile
from recurra.data.pieces import PieceColumn
from recurra.errors import DataError

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
