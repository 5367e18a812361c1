"""The shares of the baselines and of the recurrent network in a forecast, from errors on later steps.

A forecast is a weighted mean of the last value, the last season, the linear map and the network's answer. The squared
error of a mean with shares that add up to 1 is a quadratic form of the products of the errors. Its smallest value is
computed exactly (Bates and Granger, 1969, The combination of forecasts).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from recurra._util.schema import Record, Share
from recurra.data.batching.windows import WindowBatch, Windows
from recurra.tasks.baselines import CONFIDENCE

CAUTION = 0.1
"""Weight of equal shares against one block of errors, see `smallest`."""
FEWEST_BLOCKS = 3
"""Fewest blocks of errors that can give the network a share."""


class Shares(NamedTuple):
    """Weights of the parts of a forecast; they add up to 1.

    Attributes:
        last: of the last value.
        season: of the value one season before.
        linear: of the linear map.
        network: of the recurrent network.
    """

    last: float = 0.0
    season: float = 0.0
    linear: float = 0.0
    network: float = 1.0

    def with_network(self, share: float) -> Self:
        """The same proportions of the baselines beside another share of the network.

        Example:
            >>> Shares(0.5, 0.0, 0.5, 0.0).with_network(0.5)
            Shares(last=0.25, season=0.0, linear=0.25, network=0.5)
        """
        rest = self.last + self.season + self.linear
        if not rest > 0:
            return self
        factor = (1 - share) / rest
        return type(self)(self.last * factor, self.season * factor, self.linear * factor, share)

    def describe(self) -> str:
        """A sentence for people.

        Example:
            >>> Shares(0.2, 0.0, 0.3, 0.5).describe()
            'a forecast is 50 % network, 0 % last season, 30 % linear map and 20 % last value'
        """
        last, season, linear, network = (f"{100 * share:.0f} %" for share in self)
        return f"a forecast is {network} network, {season} last season, {linear} linear map and {last} last value"


ALONE = Shares()
"""The network without the baselines, as it is trained."""


class SharesConfig(Record):
    """See `Shares`."""

    last: Share
    season: Share
    linear: Share
    network: Share

    def check(self) -> None:
        """See `Record.check`."""
        if abs(self.last + self.season + self.linear + self.network - 1) > 1e-6:
            raise ValueError("the shares of a forecast do not add up to 1")


class Products(NamedTuple):
    """Products of the errors of some ways to forecast.

    Attributes:
        blocks: sums of the products of the errors `(blocks, ways, ways)`. A block has as many windows of a series as
            the horizon has steps, because windows that overlap repeat each other.
        counts: number of errors of each block `(blocks,)`.
    """

    blocks: np.ndarray
    counts: np.ndarray

    @classmethod
    def joined(cls, some: Sequence[Products]) -> Products:
        """The blocks of all of them."""
        return cls(np.concatenate([one.blocks for one in some]), np.concatenate([one.counts for one in some]))

    def times(self, weight: float) -> Products:
        """The same with another weight."""
        return Products(self.blocks * weight, self.counts * weight)


def products_of(windows: Windows, ways: Sequence[Callable[[WindowBatch], Tensor]]) -> Products:
    """Measures the products of the errors of several ways to forecast the same windows.

    Args:
        windows: what to forecast.
        ways: each returns `(batch, horizon, targets, …)`, the point forecast first.
    """
    places, found, counts = [], [], []
    for batch in windows:
        errors = torch.stack([(way(batch)[..., 0] - batch.targets).double() for way in ways], 1)
        if batch.weights is not None:
            errors = errors * batch.weights[:, None]
        flat = errors.flatten(2)
        found.append((flat @ flat.transpose(1, 2)).numpy())
        weights = torch.ones_like(batch.targets) if batch.weights is None else batch.weights
        counts.append(weights.double().sum((1, 2)).numpy())
        rows = batch.rows.numpy()
        places.append(np.stack([windows.series[rows], windows.begins[rows] // windows.horizon], 1))
    if not found:
        return Products(np.zeros((0, len(ways), len(ways))), np.zeros(0))
    _, block = np.unique(np.concatenate(places), axis=0, return_inverse=True)
    size = block.max() + 1
    sums, totals = np.zeros((size, len(ways), len(ways))), np.zeros(size)
    np.add.at(sums, block.ravel(), np.concatenate(found))
    np.add.at(totals, block.ravel(), np.concatenate(counts))
    return Products(sums, totals)


def smallest(products: Products) -> np.ndarray:
    """The shares, none below 0, with the smallest squared error; few blocks draw them towards equal shares.

    Example:
        >>> errors = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> smallest(Products(errors[None], np.ones(1))).tolist()
        [0.5, 0.5]
    """
    form = products.blocks.sum(0) / max(products.counts.sum(), 1e-300)
    ways = len(form)
    scale = np.diagonal(form).min() / max(len(products.counts), 1)
    # the weight of equal shares is a quadratic form, too, because the shares add up to 1
    form = form + (CAUTION * scale + 1e-12) * np.eye(ways)
    best = np.inf, np.eye(ways)[0]
    for size in range(1, ways + 1):
        for chosen in map(list, itertools.combinations(range(ways), size)):
            part = form[np.ix_(chosen, chosen)]
            solved = np.linalg.lstsq(part, np.ones(size), rcond=None)[0]
            if solved.min() < 0 or not solved.sum() > 0:
                continue
            shares = np.zeros(ways)
            shares[chosen] = solved / solved.sum()
            best = min(best, (float(shares @ form @ shares), shares), key=lambda pair: pair[0])
    return best[1]


def share_of_network(products: Products) -> float:
    """The share of the network beside the mean of the baselines, smaller where its gain may be chance.

    The best share is multiplied by 1 less the squared ratio of the margin to the gain, and is not below 0. The gain is
    relative to the error of the baselines. The margin is the standard error of this ratio of two sums over blocks, or
    more where the blocks are few, as in a t-test. With fewer than `FEWEST_BLOCKS` blocks the share is 0.

    Args:
        products: errors of the baselines' mean and of the network, in this order.

    Example:
        >>> better = np.array([[[4.0, 1.0], [1.0, 1.0]]] * 9)
        >>> share_of_network(Products(better, np.ones(9)))
        1.0
        >>> share_of_network(Products(better[:, ::-1, ::-1], np.ones(9)))
        0.0
    """
    blocks = products.blocks
    base, both, network = blocks[:, 0, 0], blocks[:, 0, 1], blocks[:, 1, 1]
    curvature = (base - 2 * both + network).sum()
    if len(blocks) < FEWEST_BLOCKS or not curvature > 0 or not base.sum() > 0:
        return 0.0
    share = float(np.clip((base - both).sum() / curvature, 0, 1))
    mixed = (1 - share) ** 2 * base + 2 * share * (1 - share) * both + share**2 * network
    gain = 1 - float(mixed.sum() / base.sum())
    if not gain > 0:
        return 0.0
    from scipy.stats import norm, t

    influences = (mixed - (1 - gain) * base) / base.sum()
    error = float((influences**2).sum() * len(base) / (len(base) - 1)) ** 0.5
    margin = error * float(t.ppf(CONFIDENCE, len(base) - 1) / norm.ppf(CONFIDENCE))
    return share * max(0.0, 1 - (margin / gain) ** 2)
