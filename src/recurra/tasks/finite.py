"""Refuses answers of a network that are not finite numbers, so that none is reported as a prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from recurra.errors import NonFiniteError

T = TypeVar("T")

NOT_FINITE = "not a finite number"
ADVICE = (
    "its weights are damaged, or the input is far outside the training data; `recurra health MODEL --allow-nonfinite` "
    "shows which weights are not finite"
)


def finite(output: Tensor) -> Tensor:
    """Returns the output of a network.

    Raises:
        NonFiniteError: it holds NaN or infinite values.

    Example:
        >>> finite(torch.tensor([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    if not bool(torch.isfinite(output).all()):
        raise NonFiniteError(f"the output of the network is not finite: {ADVICE}")
    return output


def answers_of(make: Callable[[], list[T]], otherwise: list[T]) -> list[T]:
    """Answers of a model for people who look inside it; `otherwise` where the output is not finite."""
    try:
        return make()
    except NonFiniteError:
        return otherwise


def finite_loss(metrics: Mapping[str, Any]) -> None:
    """Checks the metrics of an evaluation.

    Raises:
        NonFiniteError: the loss is NaN.
    """
    if math.isnan(metrics.get("loss", 0.0)):
        raise NonFiniteError(f"the loss of the model on these data is not a number: {ADVICE}")
