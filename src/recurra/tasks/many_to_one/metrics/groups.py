"""Metrics of each group of sequences, by the values of a column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from recurra.data.columns.inputs import as_column, is_missing
from recurra.errors import DataError

MOST_GROUPS = 1000
"""Greatest number of groups."""
SMALL = 30
"""A group with fewer sequences is marked as small."""


def as_groups(by: Any, rows: int) -> np.ndarray:
    """Returns the name of the group of each sequence, `(rows,)`; None for a missing value.

    Args:
        by: a column with one value for each sequence.
        rows: number of sequences.

    Raises:
        DataError: the column has another length, or is nested.
    """
    column = as_column(by, rows, "by")
    if column.ndim != 1:
        raise DataError(f"by has shape {column.shape}; give one value per sequence, shape ({rows},)")
    names = [None if gone else str(value) for value, gone in zip(column.tolist(), is_missing(column), strict=True)]
    return np.array(names, dtype=object)


def masks(groups: np.ndarray) -> Iterator[tuple[str | None, np.ndarray]]:
    """Yields each group with the mask of its sequences."""
    numbers: dict[str | None, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in groups.tolist()])
    for name, number in numbers.items():
        yield name, codes == number


def check_number(count: int) -> None:
    """Raises DataError if there are more groups than `MOST_GROUPS`."""
    if count > MOST_GROUPS:
        raise DataError(f"there are more than {MOST_GROUPS:,} groups; choose a column with fewer different values")


def measure_groups(
    measure: Callable[..., Mapping[str, float]],
    groups: np.ndarray,
    output: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Returns the rows of `described` for all outputs of a network.

    Args:
        measure: returns metrics for outputs, targets and weights.
        groups: name of the group of each sequence, `(batch,)`.
        output: `(batch, outputs)`.
        target: encoded targets.
        weight: of each sequence; groups of weight 0 are left out.
    """
    found = {}
    for name, mask in masks(groups):
        own = None if weight is None else weight[mask]
        if own is None or own.any():
            found[name] = (int(mask.sum()), measure(output[mask], target[mask], own))
            check_number(len(found))
    return described(found)


def described(found: Mapping[str | None, tuple[int, Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Returns a row for each group, the largest first.

    Args:
        found: number of sequences and metrics of each group.

    Returns:
        Rows with `group` (None for sequences without a value), `n`, `small` and the metrics, None where one is not
        defined.
    """
    rows = [
        {
            "group": name,
            "n": count,
            "small": count < SMALL,
            **{key: None if math.isnan(value) else value for key, value in metrics.items()},
        }
        for name, (count, metrics) in found.items()
    ]
    return sorted(rows, key=lambda row: (-row["n"], row["group"] is None, row["group"] or ""))
