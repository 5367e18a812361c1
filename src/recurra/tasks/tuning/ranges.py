"""Ranges of numbers that a search draws from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: smallest number.
        high: largest number.
        log: whether equal ratios are equally likely, instead of equal differences.

    Example:
        >>> str(Range(1e-4, 1e-2, log=True)), 0.005 in Range(1e-4, 1e-2)
        ('0.0001..0.01:log', True)
    """

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{':log' * self.log}"

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


Search = Range | tuple[Any, ...]
"""The values of a parameter that a search tries: a range, or a tuple of choices."""
