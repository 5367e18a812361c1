"""Encodes numeric sequences: standardised with statistics of the training part only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from recurra._util.schema import Natural, NonNegative, Record, Size, empty_list
from recurra.data.columns.scaling import Moments, standardize
from recurra.errors import DataError


class SeriesConfig(Record, tag="series", tag_field="kind"):
    """See `SeriesEncoder.to_config`."""

    features: Size
    mean: list[float]
    scale: list[NonNegative]  # 0 for a constant feature
    masked: list[Natural] = empty_list()

    def check(self) -> None:
        """See `Record.check`."""
        if not len(self.mean) == len(self.scale) == self.features:
            raise ValueError(f"mean and scale do not have {self.features} values")
        if sorted(set(self.masked)) != self.masked or (self.masked and self.masked[-1] >= self.features):
            raise ValueError("masked does not name features in order")


class SeriesEncoder:
    """Scales every feature to mean 0 and standard deviation 1 over the steps it was fitted on.

    A feature that was constant there has scale 0 and always becomes 0, because a network learned nothing about it.

    A missing value (NaN) is replaced by the last value before it in the sequence, or by the mean if there is none.
    Every feature with missing values in the training data gets a second channel: 1 if the value is missing, else 0.

    Example:
        >>> import numpy as np
        >>> encoder = SeriesEncoder(1).fit([[np.array([[1.0], [3.0]])]])
        >>> encoder.encode([np.array([[5.0]])])[0].tolist()
        [[3.0]]
        >>> encoder = SeriesEncoder(1).fit([[np.array([[1.0], [np.nan], [3.0]])]])
        >>> encoder.encode([np.array([[np.nan], [3.0], [np.nan]])])[0].tolist()
        [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """

    kind = "series"
    dtype = np.float32

    def __init__(self, features: int) -> None:
        self.features = features
        self.mean, self.scale = np.zeros(features), np.ones(features)
        self.masked = np.zeros(0, np.int64)

    @property
    def input_size(self) -> int:
        """Number of features of one step, including the channels for missing values."""
        return self.features + len(self.masked)

    def fit(self, chunks: Iterable[Sequence[np.ndarray]]) -> SeriesEncoder:
        """Learns mean, scale, and the features with missing values, from lists of arrays `(time, features)`.

        Raises:
            DataError: every sequence is empty, every value is missing, or a value is infinite.
        """
        moments, steps = Moments(self.features), 0
        for chunk in chunks:
            self._check(chunk)
            steps += sum(map(len, chunk))
            if chunk:
                moments.add(np.concatenate(chunk))
        if not steps:
            raise DataError("every sequence is empty: there is nothing to learn from")
        if not moments.count.any():
            raise DataError("every value is missing: there is nothing to learn from")
        self.mean, self.scale = moments.mean, moments.deviation
        self.masked = np.flatnonzero(moments.count < steps)
        return self

    def encode(self, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns scaled arrays `(time, input_size)` without missing values.

        Raises:
            DataError: the number of features differs from training, or a value is infinite or far out of range.
        """
        self._check(rows)
        return [self._encode(i, row) for i, row in enumerate(rows)]

    def scaled(self, row: np.ndarray, what: str) -> np.ndarray:
        """Returns scaled steps `(time, features)`; missing values stay NaN.

        Args:
            row: steps as in `encode`.
            what: name of the steps in an error message.

        Raises:
            DataError: a value is far out of range.
        """
        return standardize(row, self.mean, self.scale, what).astype(self.dtype)

    def _encode(self, number: int, row: np.ndarray) -> np.ndarray:
        scaled = self.scaled(row, f"sequence {number}")
        missing = np.isnan(scaled)
        if missing.any():
            # step of the last value so far; -1 before the first value selects the row of zeros (the scaled mean)
            last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(row))[:, None]), axis=0)
            known = np.concatenate([scaled, np.zeros((1, self.features), self.dtype)])
            scaled = np.take_along_axis(known, last, axis=0)
        return np.concatenate([scaled, missing[:, self.masked].astype(self.dtype)], axis=1)

    def to_files(self) -> dict[str, str]:
        """Returns no files: all numbers are in the configuration."""
        return {}

    def to_config(self) -> dict:
        """Returns the settings that `from_files` needs."""
        statistics = {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "masked": self.masked.tolist()}
        return {"kind": self.kind, "features": self.features, **statistics}

    @classmethod
    def from_files(cls, config: dict, files: dict[str, str]) -> SeriesEncoder:
        """Rebuilds an encoder from `to_config`."""
        encoder = cls(config["features"])
        encoder.mean, encoder.scale = np.array(config["mean"]), np.array(config["scale"])
        encoder.masked = np.array(config["masked"], np.int64)
        return encoder

    def _check(self, rows: Sequence[np.ndarray]) -> None:
        for i, row in enumerate(rows):
            if row.shape[1] != self.features:
                raise DataError(f"a sequence has {row.shape[1]} features where {self.features} are expected")
            if np.isinf(row).any():
                step, feature = np.argwhere(np.isinf(row))[0]
                raise DataError(
                    f"sequence {i}, step {step}, feature {feature} is {row[step, feature]}, not a finite number"
                )
