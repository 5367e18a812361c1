"""Decay or growth of a quantity with the number of steps, in numbers and in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

VANISHED, EXPLODED = 0.01, 100.0
"""A gradient vanishes if its remaining share is below the first number, and explodes if it is above the second."""

NAMES = ((VANISHED, "vanishing"), (0.5, "fading"), (2.0, "steady"), (EXPLODED, "growing"), (math.inf, "exploding"))
"""Names by the maximum remaining share at the largest lag."""

LAG = 20
"""Lag of the first share in the sentence, if the sequences are long enough."""


@dataclass(frozen=True)
class Decay:
    """Remaining shares by lag, and an exponential fitted to them.

    Attributes:
        left: remaining share at each lag, 1 at lag 0; NaN if not measured.
        rate: factor per step, from a linear fit of the logarithms from lag 1 on; NaN if there are too few values.
    """

    left: np.ndarray
    rate: float

    @classmethod
    def of(cls, values: np.ndarray) -> Decay:
        """Fits values by lag, `(lags,)`. If the value at lag 0 is 0, shares are relative to the largest value."""
        first = values[0] if values[0] > 0 else np.nanmax(values)
        left = values / first if first > 0 else values
        lags = np.flatnonzero(np.isfinite(left) & (left > 1e-30))
        lags = lags[lags > 0] if (lags > 0).sum() > 1 else lags
        if np.isfinite(left[1:]).any() and not (left[1:] > 0).any():
            rate = 0.0
        else:
            rate = math.exp(np.polyfit(lags, np.log(left[lags]), 1)[0]) if len(lags) > 1 else math.nan
        return cls(left, rate)

    @property
    def half_life(self) -> float:
        """Number of steps until half remains; infinite without decay."""
        if self.rate == 0:
            return 0.0
        return (
            math.log(2) / -math.log(self.rate) if self.rate < 1 else (math.nan if math.isnan(self.rate) else math.inf)
        )

    @property
    def doubling(self) -> float:
        """Number of steps until the quantity doubles; infinite without growth."""
        return math.log(2) / math.log(self.rate) if self.rate > 1 else math.inf

    @property
    def longest(self) -> int:
        """The largest lag."""
        return int(np.flatnonzero(np.isfinite(self.left))[-1])

    @property
    def name(self) -> str:
        """Name from `"vanishing"` to `"exploding"`, by the remaining share at the largest lag; see `NAMES`."""
        last = self.left[self.longest]
        return next(name for most, name in NAMES if last <= most)

    def sentence(self, what: str = "the gradient") -> str:
        """Describes it: "vanishing: the gradient halves every 3.1 steps; after 20 steps 1.2 % is left"."""
        if not (self.left > 0).any():
            return f"{what} is 0 everywhere"
        if self.longest == 0:
            return f"the sequences have only one step, so {what} has no earlier step to reach"
        if self.rate == 0:
            return f"{self.name}: nothing of {what} is left after one step"
        lag = min(LAG, self.longest)
        lags = [lag] if self.longest < 2 * lag else [lag, self.longest]
        if abs(math.log(self.rate)) * self.longest < 0.01:
            first = f"{what} keeps its size"
        elif self.rate < 1:
            first = f"{what} halves every {number(self.half_life)} steps"
        else:
            first = f"{what} doubles every {number(self.doubling)} steps"
        return f"{self.name}: {first}; " + ", ".join(f"after {k} steps {share(self.left[k])} is left" for k in lags)


def number(value: float) -> str:
    """Formats a number with two or three digits, such as `3.1`, `31` and `1,240`.

    Example:
        >>> number(3.1416), number(31.4), number(1240.4), number(0.0123)
        ('3.1', '31', '1,240', '0.012')
    """
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def share(value: float) -> str:
    """Formats a share in percent, or as a multiple if it is above 1.

    Example:
        >>> share(0.0123), share(0.5), share(3.2), share(1e-9), share(0)
        ('1.2 %', '50 %', '3.2 times as much', 'less than 0.0001 %', 'nothing')
    """
    if value == 0:
        return "nothing"
    if value < 1e-6:
        return "less than 0.0001 %"
    return f"{value * 100:.2g} %" if value < 0.9995 else "all" if value < 1.0005 else f"{number(value)} times as much"
