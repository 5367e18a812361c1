"""Random numbers of training: masks drawn by the engine, which is faster than torch, and those of a part of a batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .registry import kernels
from .tensor_memory import address, is_batched, materialize, needs_grad, watched


def dropout(values: Tensor, p: float, *, training: bool = True, per_sequence: bool = True) -> Tensor:
    """Drops values like `torch.nn.functional.dropout`. The mask depends on torch's seed, but differs from torch's.

    Args:
        values: any shape.
        p: probability that a number becomes 0; the others are divided by `1 - p`.
        training: whether anything is dropped.
        per_sequence: whether the first axis is that of the sequences; False for weights, see `batch_part`.

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
    seed = _draw_seed()
    first = _first_element(values) if per_sequence else 0
    if forward_ad._current_level >= 0 or watched(values):  # they must see each operation
        return values * _dropped(torch.ones(values.shape, device="cpu"), p, seed, first)
    if needs_grad(values):
        return _Dropout.apply(values, p, seed, first)  # type: ignore[no-any-return]
    return _dropped(values, p, seed, first)


class Draws:
    """Source of the masks of recurrent cells; see `recurra.cells.Cell.masks`.

    Example:
        >>> import torch
        >>> sorted({*DRAWS.mask((4, 8), 0.5, torch.zeros(1)).flatten().tolist()})
        [0.0, 2.0]
    """

    def mask(self, shape: Sequence[int], dropped: float, like: Tensor) -> Tensor:
        """Returns a mask whose first axis is that of the sequences, with the device and type of `like`."""
        if like.device.type != "cpu":
            return torch.nn.functional.dropout(like.new_ones(*shape), dropped)
        return dropout(torch.ones(*shape, device="cpu"), dropped).to(like.dtype)

    def seed(self) -> int:
        """Returns the seed of a mask that the engine draws itself: the one that `mask` would use."""
        return _draw_seed()

    def first_row(self) -> int:
        """Returns the number of the first sequence of the batch in a larger one; see `batch_part`."""
        return _part.first if _part.rows is not None else 0


DRAWS = Draws()


def _draw_seed() -> int:
    return int(torch.randint(2**62, (), device="cpu"))


class _Dropout(torch.autograd.Function):
    """Multiplies by a mask. The backward pass draws the same mask again instead of storing it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float, seed: int, first: int) -> Tensor:
        ctx.mask = p, seed, first
        return _dropped(values, *ctx.mask)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        if type(grad) is not Tensor or is_batched(grad) or watched(grad):
            return grad * _dropped(torch.ones(grad.shape, device="cpu"), *ctx.mask), None, None, None
        if torch.is_grad_enabled() and grad.requires_grad:  # create_graph=True
            return _Dropout.apply(grad, *ctx.mask), None, None, None
        return _dropped(grad, *ctx.mask), None, None, None


def _dropped(values: Tensor, p: float, seed: int, first: int) -> Tensor:
    values = materialize(values.detach()).contiguous()
    found = torch.empty_like(values)
    kernels.engine.drop(address(values), address(found), values.numel(), first, p, seed, torch.get_num_threads())
    return found


class _Part(threading.local):
    first = count = 0
    rows: int | None = None


_part = _Part()


@contextmanager
def batch_part(first: int, count: int, rows: int | None) -> Iterator[None]:
    """Draws random numbers as for a part of a larger batch.

    Several processes that train on parts of one batch then draw the masks that one process draws for the whole batch.
    The parts must have the number of steps of the whole batch. It affects calls of this thread: `dropout`, `uniform`,
    and the dropout of recurrent layers on the native engine. Other engines draw the masks of each part independently.

    Args:
        first: number of the first sequence of the part in the batch.
        count: number of sequences of the part.
        rows: number of sequences of the batch; None for a batch that is not divided.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> whole = uniform((4, 3))
        >>> _ = torch.manual_seed(0)
        >>> with batch_part(2, 2, rows=4):
        ...     part = uniform((2, 3))
        >>> torch.equal(part, whole[2:])
        True
    """
    before = _part.first, _part.count, _part.rows
    _set(first, count, rows)
    try:
        yield
    finally:
        _set(*before)


def _set(first: int, count: int, rows: int | None) -> None:
    _part.first, _part.count, _part.rows = first, count, rows
    if kernels.engine is not None:
        kernels.engine.set_part(first, count)


def _first_element(values: Tensor) -> int:
    """Returns the position of the first number of `values` in the tensor of the whole batch; see `batch_part`.

    The first axis is that of the sequences, or has the same number of rows for each sequence.
    """
    return 0 if _part.rows is None else _part.first * (values.numel() // max(_part.count, 1))


def uniform(shape: Sequence[int], device: torch.device | str = "cpu", *, axis: int = 0) -> Tensor:
    """Draws uniform random numbers from 0 to 1, like `torch.rand`; see `batch_part`.

    Args:
        shape: any shape.
        device: device of the result.
        axis: axis of the sequences of the batch.

    Example:
        >>> bool((uniform((100,)) < 1).all())
        True
    """
    if _part.rows is None:
        return torch.rand(*shape, device=device)
    whole = torch.rand(*shape[:axis], _part.rows, *shape[axis + 1 :], device=device)
    return whole.narrow(axis, _part.first, shape[axis])
