"""Mean and standard deviation of columns of numbers. The results do not depend on the unit of the numbers."""

from __future__ import annotations

import numpy as np

from recurra.errors import DataError

ROUNDING = 1e-14
"""A deviation below this share of the largest value is a rounding error of float64, so the column is constant."""
FARTHEST = 1e18
"""Maximum standardized value. float32, in which networks compute, can still hold its square."""


class Moments:
    """Means and standard deviations over the rows of any number of arrays.

    Every column is stored in units of a power of two near its largest value. So no square underflows or overflows, and
    columns whose units differ by a power of two give exactly the same standardized values. Arrays are merged by the
    method of Chan, Golub and LeVeque (1979), which keeps the precision of a small deviation with a large mean.

    Args:
        columns: number of columns.

    Attributes:
        count: values of each column that are not missing, `(columns,)`.

    Example:
        >>> moments = Moments(1)
        >>> moments.add(np.array([[1e-30], [np.nan], [3e-30]]))
        >>> f"{moments.mean[0]:.3g} ± {moments.deviation[0]:.3g}"
        '2e-30 ± 1e-30'
    """

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns, np.int64)
        self._exponent = np.full(columns, -1075)  # smaller than the exponent of any float64
        self._mean, self._squares = np.zeros(columns), np.zeros(columns)
        self._low, self._high = np.full(columns, np.nan), np.full(columns, np.nan)

    def add(self, values: np.ndarray) -> None:
        """Adds the rows of an array `(rows, columns)`; NaN is a missing value."""
        if not len(values):
            return
        values = values.astype(np.float64, copy=False)
        low, high = np.fmin.reduce(values, 0), np.fmax.reduce(values, 0)
        peak = np.nan_to_num(np.maximum(np.abs(low), np.abs(high)))
        exponent = np.maximum(self._exponent, np.where(peak > 0, np.frexp(peak)[1], -1075))
        known = ~np.isnan(values)
        scaled = np.ldexp(np.where(known, values, 0.0), -exponent)
        count = known.sum(0)
        mean = scaled.sum(0) / np.maximum(count, 1)
        away = np.where(known, scaled - mean, 0.0)
        rest = away.sum(0) / np.maximum(count, 1)  # rounding error of the mean
        squares = np.maximum((away**2).sum(0) - count * rest**2, 0.0)
        self._merge(count, mean + rest, squares, exponent)
        self._low, self._high = np.fmin(self._low, low), np.fmax(self._high, high)

    def merge(self, other: Moments) -> None:
        """Adds the rows of other moments with as many columns."""
        exponent = np.maximum(self._exponent, other._exponent)
        shrink = other._exponent - exponent
        self._merge(other.count, np.ldexp(other._mean, shrink), np.ldexp(other._squares, 2 * shrink), exponent)
        self._low, self._high = np.fmin(self._low, other._low), np.fmax(self._high, other._high)

    def _merge(self, count: np.ndarray, mean: np.ndarray, squares: np.ndarray, exponent: np.ndarray) -> None:
        """Merges the sums of an array, in units of 2^exponent, with those of the arrays before it."""
        shrink = self._exponent - exponent
        total = np.maximum(self.count + count, 1)
        before = np.ldexp(self._mean, shrink)
        away = np.where(self.count > 0, mean - before, 0.0)
        self._mean = np.where(self.count > 0, before + away * (count / total), mean)
        self._squares = np.ldexp(self._squares, 2 * shrink) + squares + away**2 * (self.count / total) * count
        self._exponent, self.count = exponent, self.count + count

    @property
    def mean(self) -> np.ndarray:
        """Mean of each column, `(columns,)`; 0 if every value is missing."""
        return np.where(self._high == self._low, np.nan_to_num(self._low), np.ldexp(self._mean, self._exponent))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each column, `(columns,)`; exactly 0 if the column is constant or missing."""
        deviation = np.sqrt(self._squares / np.maximum(self.count, 1))
        peak = np.ldexp(np.fmax(np.abs(self._low), np.abs(self._high)), -self._exponent)
        varies = (self._high > self._low) & (deviation > ROUNDING * peak)
        return np.where(varies, np.ldexp(deviation, self._exponent), 0.0)

    def target_scale(self, otherwise: np.ndarray | float = 1.0) -> np.ndarray:
        """Returns the scale of predicted columns, `(columns,)`; never 0, so that predictions can be scaled back.

        It is the deviation; for a constant column, the absolute value of the constant.

        Args:
            otherwise: scale of columns that are always 0.
        """
        mean, deviation = self.mean, self.deviation
        return np.where(deviation > 0, deviation, np.where(mean != 0, np.abs(mean), otherwise))


def moments_of(values: np.ndarray) -> Moments:
    """Returns the moments of one array `(rows, columns)`; NaN is a missing value."""
    moments = Moments(values.shape[1])
    moments.add(values)
    return moments


def standardize(values: np.ndarray, mean: np.ndarray, scale: np.ndarray, what: str) -> np.ndarray:
    """Returns `(values - mean) / scale` of an array `(rows, columns)` in double precision; NaN stays NaN.

    A column with scale 0 was constant in training, so a model learned nothing about it: all of its values become 0.

    Args:
        values: rows of numbers.
        mean: of each column in training, `(columns,)`.
        scale: of each column in training, `(columns,)`.
        what: name of the rows in an error message.

    Raises:
        DataError: a value is so far from the training data that float32 cannot hold its square.
    """
    with np.errstate(over="ignore"):  # reported below
        found = (values.astype(np.float64, copy=False) - mean) / np.where(scale > 0, scale, np.inf)
    far = np.abs(found) > FARTHEST  # False for NaN
    if far.any():
        row, column = np.argwhere(far)[0]
        raise DataError(
            f"{what}, step {row}, column {column}: {values[row, column]:g} is {abs(found[row, column]):.1g} standard "
            f"deviations from the mean of the training data ({mean[column]:g}); give the data in the same unit"
        )
    return found
