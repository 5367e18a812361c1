"""Dynamic evaluation: the network also learns from the text that it has already predicted.

Krause and others, "Dynamic evaluation of neural sequence models", 2018.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.streams import Window
from recurra.ops import batch_invariant, reproducible_algebra

from .network import LanguageNetwork, NextToken

WINDOW = 32
"""Tokens that are predicted with the same weights."""
RATE = 1e-3
"""Size of a step, relative to the gradient's own mean size."""
DECAY = 1e-2
"""Share of the way back to the trained weights after each window."""
MEMORY = 0.999
"""Decay of the mean of the squared gradients."""
_EPS = 1e-6


def observe_dynamically(network: LanguageNetwork, objective: NextToken, windows: Iterable[Window]) -> list[Any]:
    """Observes texts in their order, and changes a copy of the weights after each window.

    A window is predicted before the network learns from it, so no token is known when it is predicted. The size of a
    change is the gradient divided by the root of its mean square so far, as in RMSProp. After each change the weights
    move a little towards the trained ones.

    Args:
        network: the trained network; it does not change.
        objective: a new objective, whose state is changed.
        windows: windows of one stream each, `(1, time)`, of any length.

    Returns:
        For each window of at most `WINDOW` tokens, summed loss in nats, tokens and characters, as `NextToken.observe`.
    """
    adapting = copy.deepcopy(network).eval()
    weights = [weight.requires_grad_(True) for weight in adapting.parameters()]
    trained = [weight.detach().clone() for weight in weights]
    squares = [torch.zeros_like(weight) for weight in weights]
    observed = []
    with torch.enable_grad(), reproducible_algebra(), batch_invariant():
        for window in _cut(windows):
            total, count = objective.loss(adapting, window)
            targets = window.targets[window.targets != IGNORE]
            characters = objective.characters[targets.long().cpu()].sum()
            observed.append((float(total.detach().double()), int(count), float(characters)))
            if count:
                gradients = torch.autograd.grad(total / count, weights, allow_unused=True)
                _learn(weights, gradients, squares, trained, len(observed))
    return observed


def _cut(windows: Iterable[Window]) -> Iterator[Window]:
    """Yields windows of at most `WINDOW` tokens."""
    for values, lengths, targets, first in windows:
        for begin in range(0, int(lengths[0]), WINDOW):
            part = slice(begin, min(begin + WINDOW, int(lengths[0])))
            length = torch.tensor([part.stop - begin])
            yield Window(values[:, part], length, targets[:, part], first and begin == 0)


@torch.no_grad()
def _learn(weights: list[Tensor], gradients: Any, squares: list[Tensor], trained: list[Tensor], step: int) -> None:
    """Changes the weights after a window."""
    unbiased = 1 - MEMORY**step
    for weight, gradient, square, start in zip(weights, gradients, squares, trained, strict=True):
        if gradient is None:
            continue
        square.mul_(MEMORY).addcmul_(gradient, gradient, value=1 - MEMORY)
        weight.addcdiv_(gradient, (square / unbiased).sqrt_().add_(_EPS), value=-RATE)
        weight.lerp_(start, DECAY)
