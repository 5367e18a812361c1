"""Refuses answers of a network that are not finite numbers, so that none is reported as a prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recurra.errors import NonFiniteError

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


def finite_loss(figures: Mapping[str, Any]) -> None:
    """Checks the figures of an evaluation.

    Raises:
        NonFiniteError: the loss is NaN.
    """
    if math.isnan(figures.get("loss", 0.0)):
        raise NonFiniteError(f"the loss of the model on these data is not a number: {ADVICE}")
