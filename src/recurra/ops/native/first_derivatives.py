"""Gradients of engines that give first derivatives only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.errors import EngineError


def first_only(message: str, inputs: Sequence[Tensor], found: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
    """Returns gradients unchanged. With `create_graph=True`, a second derivative raises an `EngineError`.

    Without this, a second derivative would treat the gradients as constants.

    Args:
        message: the message of the error.
        inputs: the tensors that the gradients depend on.
        found: the gradients.
    """
    if not torch.is_grad_enabled():
        return found
    return _Last.apply(message, len(inputs), *inputs, *found)  # type: ignore[no-any-return]


class _Last(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, message: str, count: int, *tensors: Tensor | None):
        ctx.message = message
        return tensors[count:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):
        raise EngineError(ctx.message)
