"""Sanity check of attributions: they must depend on the weights, not only on the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import xarray
from torch import Tensor

from recurra.errors import UsageError

ALIKE = 0.5
"""Maximum rank correlation with attributions of random weights. Attributions with a larger one fail the check."""


class Sanity(NamedTuple):
    """Result of the sanity check of Adebayo and others, "Sanity checks for saliency maps", 2018.

    Attributes:
        correlation: Spearman's rank correlation, over the steps of a sequence, between the absolute attributions and
            those of the same model with shuffled weights; mean over sequences and draws. NaN if no sequence has two
            steps.
        spread: standard deviation over the draws.
        draws: number of shuffles.
        passes: True if the correlation is below 0.5; None if it is within two standard errors of 0.5, as for sequences
            with few steps.

    Example:
        >>> import torch
        >>> from recurra.inspect import attribute
        >>> _ = torch.manual_seed(0)
        >>> sanity = attribute(torch.nn.GRU(2, 4, batch_first=True), torch.randn(3, 9, 2)).sanity(draws=2)
        >>> sanity.draws, -1 <= sanity.correlation <= 1
        (2, True)
    """

    correlation: float
    spread: float
    draws: int
    passes: bool | None

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        found = f"rank correlation {self.correlation:.2f} ± {self.spread:.2f} with random weights, {self.draws} draws"
        if np.isnan(self.correlation):
            return "undecided: no sequence has two steps to rank"
        if self.passes is None:
            return f"undecided: use more draws, or more or longer sequences ({found})"
        if self.passes:
            return f"passes: the attributions depend on the trained weights ({found})"
        return f"fails: the attributions hardly depend on the trained weights ({found})"


def check_sanity(
    attribute: Callable[[], Tensor], values: xarray.DataArray, network: torch.nn.Module, draws: int, seed: int
) -> Sanity:
    """Shuffles the entries of every weight, recomputes the attributions, and compares the ranks of the steps.

    The input of the recurrent layer stays the same. The weights are restored afterwards.

    Args:
        attribute: computes the attributions, `(batch, time)` or `(batch, time, feature)`.
        values: the attributions of the trained network, `(batch, time)`.
        network: the network whose weights are shuffled.
        draws: number of shuffles, at least 2.
        seed: seed of the shuffles.

    Raises:
        UsageError: there are too few draws.
    """
    from scipy.stats import rankdata

    if draws < 2:
        raise UsageError(f"draws must be at least 2, got {draws}")
    lengths, before = values["length"].values, np.abs(values.values)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(draws):
        with _shuffled(network, generator):
            raw = attribute().detach()
        after = (raw if raw.dim() == 2 else raw.sum(-1)).abs().cpu().numpy()
        pairs = [
            (rankdata(a[:n]), rankdata(b[:n])) for a, b, n in zip(before, after, lengths.tolist(), strict=True) if n > 1
        ]
        ranks = [_correlation(a, b) for a, b in pairs]
        found.append(np.mean(ranks) if ranks else np.nan)
    mean, spread = float(np.mean(found)), float(np.std(found, ddof=1))
    sure = abs(mean - ALIKE) > 2 * spread / draws**0.5  # False for NaN
    return Sanity(mean, spread, draws, mean < ALIKE if sure else None)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if (a == b).all():
        return 1.0  # also if all steps are equal and the correlation is undefined
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / size) if size else 0.0


@contextmanager
def _shuffled(network: torch.nn.Module, generator: torch.Generator) -> Iterator[None]:
    kept = [(p, p.detach().clone()) for p in network.parameters()]
    try:
        with torch.no_grad():
            for p, value in kept:
                order = torch.randperm(p.numel(), generator=generator).to(p.device)
                p.copy_(value.flatten()[order].view_as(p))
        yield
    finally:
        with torch.no_grad():
            for p, value in kept:
                p.copy_(value)
