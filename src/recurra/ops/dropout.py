"""Dropout with a mask drawn by the engine, which is faster than torch's sequential random numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .registry import kernels
from .tensor_memory import address, is_batched, materialize, needs_grad, watched


def dropout(values: Tensor, p: float, *, training: bool = True) -> Tensor:
    """Drops values like `torch.nn.functional.dropout`. The mask depends on torch's seed, but differs from torch's.

    Args:
        values: any shape.
        p: probability that a number becomes 0; the others are divided by `1 - p`.
        training: whether anything is dropped.

    Example:
        >>> import torch
        >>> sorted({round(x, 2) for x in dropout(torch.ones(1000), 0.2).tolist()})
        [0.0, 1.25]
    """
    if not training or p == 0:
        return values
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    plain = values.device.type == "cpu" and values.dtype == torch.float32 and type(values) is Tensor
    if kernels.engine is None or transformed or not plain:
        return torch.nn.functional.dropout(values, p)
    seed = int(torch.randint(2**62, (), device="cpu"))
    if forward_ad._current_level >= 0 or watched(values):  # they must see each operation
        return values * _dropped(torch.ones(values.shape, device="cpu"), p, seed)
    if needs_grad(values):
        return _Dropout.apply(values, p, seed)  # type: ignore[no-any-return]
    return _dropped(values, p, seed)


class _Dropout(torch.autograd.Function):
    """Multiplies by a mask. The backward pass draws the same mask again instead of storing it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float, seed: int) -> Tensor:
        ctx.p, ctx.seed = p, seed
        return _dropped(values, p, seed)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        if type(grad) is not Tensor or is_batched(grad) or watched(grad):
            return grad * _dropped(torch.ones(grad.shape, device="cpu"), ctx.p, ctx.seed), None, None
        if torch.is_grad_enabled() and grad.requires_grad:  # create_graph=True
            return _Dropout.apply(grad, ctx.p, ctx.seed), None, None
        return _dropped(grad, ctx.p, ctx.seed), None, None


def _dropped(values: Tensor, p: float, seed: int) -> Tensor:
    values = materialize(values.detach()).contiguous()
    found = torch.empty_like(values)
    kernels.engine.drop(address(values), address(found), values.numel(), p, seed, torch.get_num_threads())
    return found
