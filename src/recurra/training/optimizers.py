"""Optimizers and schedules of the learning rate: those with a name, and functions of users that return others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from recurra.errors import UsageError

OPTIMIZERS = {
    "adamw": "AdamW",
    "adam": "Adam",
    "nadam": "NAdam",
    "radam": "RAdam",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "sgd": "SGD",
}
"""Classes of `torch.optim` by name."""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda gone: 0.5 * (1 + math.cos(math.pi * min(gone, 1.0))),
    "linear": lambda gone: max(1 - gone, 0.0),
    "constant": lambda gone: 1.0,
}
"""Factor of the learning rate by the share of the training that is done. It also rises during the first steps."""


def make_optimizer(given: Any, groups: list[dict[str, Any]], rate: float) -> Optimizer:
    """Returns an optimizer.

    Args:
        given: a name of `OPTIMIZERS`, or a function that is called as `given(groups, lr=rate)`.
        groups: groups of weights, each with its weight decay.
        rate: learning rate.

    Raises:
        UsageError: the function returns something else.

    Example:
        >>> groups = [{"params": [torch.zeros(2, requires_grad=True)], "weight_decay": 0.1}]
        >>> type(make_optimizer("sgd", groups, 0.5)).__name__
        'SGD'
    """
    if isinstance(given, str):
        options = {"fused": True} if given == "adamw" else {}
        return getattr(torch.optim, OPTIMIZERS[given])(groups, lr=rate, **options)  # type: ignore[no-any-return]
    found = given(groups, lr=rate)
    if not isinstance(found, Optimizer):
        raise UsageError(f"optimizer must return an optimizer of torch, but it returned {type(found).__name__}")
    return found


def make_schedule(given: Any, optimizer: Optimizer, rates: Sequence[Callable[[int], float]], steps: int) -> LRScheduler:
    """Returns a schedule that changes the learning rate after each step.

    Args:
        given: a name of `SCHEDULES`, None, or a function that is called as `given(optimizer, steps)`.
        optimizer: the optimizer.
        rates: for a name and None, the factor of the learning rate of each group after a number of steps.
        steps: planned number of steps.

    Raises:
        UsageError: the function returns no schedule, or one that needs a metric.
    """
    if given is None or isinstance(given, str):
        return LambdaLR(optimizer, list(rates))
    found = given(optimizer, steps)
    if not isinstance(found, LRScheduler) or isinstance(found, ReduceLROnPlateau):
        raise UsageError(
            f"schedule must return a schedule of torch.optim.lr_scheduler that needs no metric, but it returned "
            f"{type(found).__name__}"
        )
    return found
