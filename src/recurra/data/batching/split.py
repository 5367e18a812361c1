"""Draws the rows that are held out: for validation, or for a test."""

from __future__ import annotations

import numpy as np


def hold_out(known: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draws a part of the rows at random.

    Args:
        known: mask of the rows to draw from, `(rows,)`.
        fraction: share of these rows. If it rounds to no row or to all rows, none is drawn.
        seed: seed of the draw.

    Returns:
        Mask of the rows that were drawn.

    Example:
        >>> hold_out(np.array([True, True, False, True]), 0.4, seed=0).tolist()
        [False, False, False, True]
    """
    rows, held_out = np.flatnonzero(known), np.zeros_like(known)
    count = round(len(rows) * fraction)
    if 0 < count < len(rows):
        held_out[np.random.default_rng(seed).permutation(rows)[:count]] = True
    return held_out


def hold_out_stratified(known: np.ndarray, fraction: float, seed: int, strata: np.ndarray | None) -> np.ndarray:
    """Draws a part of the rows so that groups keep their proportions.

    Args:
        known: see `hold_out`.
        fraction: see `hold_out`.
        seed: see `hold_out`.
        strata: group of each known row; None for no groups. Groups are ignored if a group has only one row, or if
            there are more groups than rows in a part.

    Returns:
        Mask of the rows that were drawn.
    """
    from sklearn.model_selection import train_test_split

    rows, held_out = np.flatnonzero(known), np.zeros_like(known)
    count = round(len(rows) * fraction)
    if 0 < count < len(rows):
        if strata is not None:
            sizes = np.unique(strata, return_counts=True)[1]
            strata = strata if sizes.min() > 1 and len(sizes) <= min(count, len(rows) - count) else None
        random = np.random.RandomState(seed % 2**32)
        held_out[train_test_split(rows, test_size=count, random_state=random, stratify=strata)[1]] = True
    return held_out


def hold_out_groups(groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draws whole groups at random, so that no group is in both parts.

    Args:
        groups: number of each row's group, from 0 without gaps, `(rows,)`.
        fraction: share of the groups. At least one group is not drawn.
        seed: seed of the draw.

    Returns:
        Mask of the rows that were drawn.

    Example:
        >>> hold_out_groups(np.array([0, 0, 1, 2]), 0.4, seed=0).tolist()
        [False, False, False, True]
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[: min(round(count * fraction), count - 1)]] = True
    return chosen[groups]
