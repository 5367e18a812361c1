"""Numeric sequences to network input: standardised with figures from the training part only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from recurra.errors import DataError


class SeriesEncoder:
    """Scales every feature to mean 0 and standard deviation 1 over the steps it was fitted on.

    Example:
        >>> import numpy as np
        >>> encoder = SeriesEncoder(1).fit([[np.array([[1.0], [3.0]])]])
        >>> encoder.encode([np.array([[5.0]])])[0].tolist()
        [[3.0]]
    """

    kind = "series"
    dtype = np.float32

    def __init__(self, features: int) -> None:
        self.features = features
        self.mean, self.scale = np.zeros(features), np.ones(features)

    @property
    def input_size(self) -> int:
        """Features of one step."""
        return self.features

    def fit(self, chunks: Iterable[Sequence[np.ndarray]]) -> SeriesEncoder:
        """Learns mean and scale from lists of arrays `(time, features)`.

        Raises:
            DataError: no sequence has a step, or a value is not finite.
        """
        count, total, squares, shift = 0, np.zeros(self.features), np.zeros(self.features), None
        for chunk in chunks:
            self._check(chunk)
            steps = np.concatenate(chunk).astype(np.float64)
            if not len(steps):
                continue
            shift = steps[0] if shift is None else shift  # keeps the squares small where the mean is large
            count += len(steps)
            total += (steps - shift).sum(0)
            squares += ((steps - shift) ** 2).sum(0)
        if shift is None:
            raise DataError("every sequence is empty: there is nothing to learn from")
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        self.mean, self.scale = (
            mean + shift,
            np.where(spread > 1e-8, spread, 1.0),
        )  # a constant feature stays 0
        return self

    def encode(self, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scaled arrays `(time, features)`.

        Raises:
            DataError: another number of features than in training, or a value that is not finite.
        """
        self._check(rows)
        return [((row - self.mean) / self.scale).astype(self.dtype) for row in rows]

    def to_files(self) -> dict[str, str]:
        """No files: the figures stand in the configuration."""
        return {}

    def to_config(self) -> dict:
        """What `from_files` needs."""
        figures = {"mean": self.mean.tolist(), "scale": self.scale.tolist()}
        return {"kind": self.kind, "features": self.features, **figures}

    @classmethod
    def from_files(cls, config: dict, files: dict[str, str]) -> SeriesEncoder:
        """Rebuilds an encoder from `to_config`."""
        encoder = cls(config["features"])
        encoder.mean, encoder.scale = np.array(config["mean"]), np.array(config["scale"])
        return encoder

    def _check(self, rows: Sequence[np.ndarray]) -> None:
        for i, row in enumerate(rows):
            if row.shape[1] != self.features:
                raise DataError(f"a sequence has {row.shape[1]} features where {self.features} are expected")
            if not np.isfinite(row).all():
                step, feature = np.argwhere(~np.isfinite(row))[0]
                raise DataError(
                    f"sequence {i}, step {step}, feature {feature} is {row[step, feature]}; fill or leave out "
                    "missing values first"
                )
