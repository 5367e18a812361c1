"""Test of the difference of a metric of two models on the same items."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from recurra.tasks.baselines import CONFIDENCE, FEWEST, influence_difference


class Paired(NamedTuple):
    """Difference of a metric of two models on the same items.

    Attributes:
        difference: of the first model less the second one.
        low: lower end of its 95 % confidence interval.
        high: upper end.
        p: two-sided p-value: how probable a difference as large is if the models are equally good.
        test: name of the test.
        n: number of items.
    """

    difference: float
    low: float
    high: float
    p: float
    test: str
    n: int


def paired_test(one: np.ndarray, other: np.ndarray) -> Paired | None:
    """Tests the difference of two models on the same items.

    If each item is right or wrong, the p-value is that of McNemar's exact test (McNemar, "Note on the sampling error of
    the difference between correlated proportions", 1947). Else it is that of a paired t-test.

    Args:
        one: numerator and denominator of each item, `(items, 2)`, as in `Measured.items`.
        other: the same of the other model.

    Returns:
        The result; None for too few items.

    Example:
        >>> one = np.stack([np.arange(40) < 38, np.ones(40)], 1)
        >>> other = np.stack([np.arange(40) < 30, np.ones(40)], 1)
        >>> found = paired_test(one, other)
        >>> round(found.difference, 3), round(found.p, 4), found.test
        (0.2, 0.0078, 'exact McNemar test')
    """
    from scipy.stats import binomtest, t

    if len(one) < FEWEST:
        return None
    count, influence = len(one), influence_difference(one, other)
    ratios = [items[:, 0].sum() / max(items[:, 1].sum(), 1e-300) for items in (one, other)]
    difference = float(ratios[0] - ratios[1])
    error = math.sqrt(float((influence**2).sum()) * count / (count - 1))
    reach = error * float(t.ppf(1 - (1 - CONFIDENCE) / 2, count - 1))
    if all((items[:, 1] == 1).all() and np.isin(items[:, 0], (0, 1)).all() for items in (one, other)):
        better, worse = (int(((a[:, 0] == 1) & (b[:, 0] == 0)).sum()) for a, b in ((one, other), (other, one)))
        p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
        test = "exact McNemar test"
    else:
        p = float(2 * t.sf(abs(difference) / error, count - 1)) if error else float(difference == 0)
        test = "paired t-test"
    return Paired(difference, difference - reach, difference + reach, p, test, count)
