"""Attention pooling over ragged batches: one pass of the engine over the real steps, or torch's operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .mask import step_mask
from .registry import kernels
from .reproducible import is_batch_invariant
from .tensor_memory import address, check_readable, is_batched, materialize, needs_grad, transformed, watched


def attend(values: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mean of each sequence's steps, weighted by the softmax of `values @ weight + bias`.

    Args:
        values: `(batch, time, features)`.
        weight: `(1, features)`.
        bias: `(1,)`.
        lengths: `(batch,)`; an empty sequence gives zeros, where `values` are 0 beyond each length.

    Returns:
        `(batch, features)`.

    Example:
        >>> import torch
        >>> values = torch.tensor([[[1.0], [3.0]], [[5.0], [0.0]]])
        >>> attend(values, torch.zeros(1, 1), torch.zeros(1), torch.tensor([2, 1])).tolist()
        [[2.0], [5.0]]
    """
    if not _plain(values, weight, bias):
        return reference(values, weight, bias, lengths)
    check_readable("the tensor of lengths", lengths)
    lengths = lengths.detach().cpu().long().clone()  # the caller may reuse the tensor for the next batch
    if needs_grad(values, weight, bias):
        return _Attend.apply(values, weight, bias, lengths)  # type: ignore[no-any-return]
    if is_batch_invariant():
        return attend_steps(values, weight, bias, lengths)
    return _forward(values, weight, bias, lengths)[0]


def attend_steps(values: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor, states: Tensor | None = None) -> Tensor:
    """Computes `attend` one step after the other, so that the steps of a sequence may arrive in several calls.

    The result has the same bits for any division into calls. It needs the native engine.

    Args:
        values: `(batch, time, features)` in float32 or float64 on the CPU.
        weight: `(1, features)`.
        bias: `(1,)`.
        lengths: `(batch,)`, on the CPU, 0 allowed.
        states: sums of the steps before, `(batch, 2 + features)` in float64, contiguous; zeros before the first step.
            The call changes them. None for whole sequences.

    Returns:
        `(batch, features)`: the mean of all steps so far; zeros before the first step.

    Example:
        >>> import torch
        >>> states, none = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1)
        >>> for value in (1.0, 3.0):
        ...     mean = attend_steps(torch.tensor([[[value]]]), torch.zeros(1, 1), none, torch.tensor([1]), states)
        >>> mean.tolist()
        [[2.0]]
    """
    values, weight, bias = _real((values, weight, bias))
    pooled = values.new_empty(len(values), values.shape[2])
    _engine(values).attend_steps(_call(values, weight, bias, lengths, None), address(states), address(pooled))
    return pooled


def reference(values: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor) -> Tensor:
    """Computes `attend` with torch's operations, on any device and for any derivative."""
    return average(values, torch.nn.functional.linear(values, weight, bias), lengths)


def average(values: Tensor, score: Tensor, lengths: Tensor) -> Tensor:
    """The mean `(batch, features)` of each sequence's steps, weighted by the softmax of `score` `(batch, time, 1)`."""
    mask = step_mask(lengths.to(values.device), values.shape[1]).unsqueeze(-1)
    # not -inf: a softmax over nothing but -inf is NaN; and under autocast a score is of another dtype than the values
    masked = score.masked_fill(~mask, torch.finfo(score.dtype).min).squeeze(-1)
    share = torch.log_softmax(masked, dim=1).exp()  # the gradient of softmax depends on the number of threads
    return (share.unsqueeze(-1) * values).sum(1)


def _plain(*tensors: Tensor) -> bool:
    """Returns whether the engine can serve the tensors. It reads CPU memory."""
    if kernels.engine is None or transformed() or torch._C._get_tracing_state() or watched(*tensors):
        return False
    dtype = tensors[0].dtype
    return dtype in (torch.float32, torch.float64) and all(
        t.device.type == "cpu" and t.dtype == dtype and t.numel() for t in tensors
    )


class _Attend(torch.autograd.Function):
    """Scores, softmax and sum as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor) -> Tensor:
        pooled, ctx.shares = _forward(values, weight, bias, lengths)
        ctx.save_for_backward(values, weight, bias)
        ctx.lengths = lengths
        return pooled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,), (values, weight, bias) = grads, ctx.saved_tensors
        if torch.is_grad_enabled() or is_batched(grad) or not _plain(grad):
            with torch.enable_grad():  # a second derivative, or many gradients at once
                pooled = reference(values, weight, bias, ctx.lengths)
                wanted = [t for t, needed in zip((values, weight, bias), ctx.needs_input_grad, strict=False) if needed]
                found = iter(torch.autograd.grad(pooled, wanted, grad, create_graph=torch.is_grad_enabled()))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None
        values, weight, bias = _real((values, weight, bias))
        grad = materialize(grad).contiguous()
        found = tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in (values, weight, bias))
        call = _call(values, weight, bias, ctx.lengths, ctx.shares)
        _engine(values).attend_back(call, address(grad), *[address(t) for t in found])
        return *found, None


def _forward(values: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns pooled values and the weights of the steps; the weights beyond each length are undefined."""
    values, weight, bias = _real((values, weight, bias))
    pooled, shares = values.new_empty(len(values), values.shape[2]), values.new_empty(values.shape[:2])
    _engine(values).attend(_call(values, weight, bias, lengths, shares), address(pooled))
    return pooled, shares


def _real(tensors: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns tensors with resolved values; the weight is contiguous."""
    values, weight, bias = (materialize(t.detach()) for t in tensors)
    return values if values.stride(-1) == 1 else values.contiguous(), weight.contiguous(), bias


def _call(values: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor, shares: Tensor | None) -> tuple:
    """Returns the arguments of the engine, see `bindings.cpp`."""
    addresses = (address(lengths), address(weight), address(bias), address(shares))
    rows = (address(values), values.stride(0), values.stride(1))
    return rows, tuple(values.shape), addresses, torch.get_num_threads()


def _engine(values: Tensor) -> Any:
    return kernels.engine.float32 if values.dtype == torch.float32 else kernels.engine.float64
