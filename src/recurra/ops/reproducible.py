"""Products, solvers and sums whose results do not depend on the number of threads, nor, if wanted, on the batch.

MKL, the library behind torch's matrix products, splits a product into as many parts as there are threads. A row or a
column at the edge of a part is summed in another order than one in the middle, so its last bits change. Here MKL runs
on one thread. Large products are cut into blocks that depend on the shapes only, and threads share the blocks.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .registry import kernels
from .tensor_memory import is_batched, needs_grad, transformed, watched

BLOCK = 1 << 24
"""Multiply-adds of a block: half a millisecond on one core, so that sharing costs little."""
TILE = 48
"""Rows or columns of a block are a multiple of this, a common multiple of the tiles of the usual kernels."""

SERIAL = 1 << 14
"""Numbers that torch adds up on one thread."""


@cache
def _set_threads() -> Callable[[int], int] | None:
    """MKL's function that sets the number of threads for this thread and returns the one before; None without MKL."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return library.MKL_Set_Num_Threads_Local  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None


@contextmanager
def reproducible_algebra() -> Iterator[None]:
    """Runs matrix products, decompositions and solvers that this thread calls on one thread.

    Large products are still shared by `linear`. Without MKL (on Arm processors, for example) it does nothing.

    Example:
        >>> with reproducible_algebra():
        ...     q, r = torch.linalg.qr(torch.eye(3))
        >>> (q @ r).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    set_threads = _set_threads()
    torch.get_num_threads()  # a thread's first parallel operation sets the number of threads of MKL: here at the latest
    before = 0 if set_threads is None else set_threads(1)
    try:
        yield
    finally:
        if set_threads is not None:
            set_threads(before)


class _Active(threading.local):
    invariant = False
    rounded = False


_active = _Active()


@contextmanager
def rounded_products() -> Iterator[None]:
    """Rounds the factors of large products of `linear` and `Linear` to bfloat16 where gradients are computed.

    Sums stay in float32. It changes nothing where products of bfloat16 are not faster; see `nn.LSTM.precision`.

    Example:
        >>> from recurra import ops
        >>> layer = ops.Linear(256, 4096)
        >>> with rounded_products():
        ...     layer(torch.randn(64, 256)).sum().backward()
    """
    before, _active.rounded = _active.rounded, True
    try:
        yield
    finally:
        _active.rounded = before


@contextmanager
def batch_invariant() -> Iterator[None]:
    """Makes the results of a sequence independent of the other sequences in its batch, bit by bit.

    Without, a few sequences are computed by faster kernels, whose sums have another order. It affects calls of this
    thread without gradients: layers on the native engine, `linear` and `Linear`. Other engines are not affected.

    Example:
        >>> from recurra import nn
        >>> layer, values = nn.LSTM(3, 4), torch.randn(5, 2, 3)
        >>> with torch.no_grad(), batch_invariant():
        ...     both, alone = layer(values)[0], layer(values[:, :1])[0]
        >>> torch.equal(both[:, :1], alone)
        True
    """
    engine, before = kernels.engine, _active.invariant
    _active.invariant = engine is not None
    if engine is not None:
        engine.set_invariant(True)
    try:
        yield
    finally:
        _active.invariant = before
        if engine is not None:
            engine.set_invariant(before)


def is_batch_invariant() -> bool:
    """Returns whether this thread is inside of `batch_invariant`."""
    return _active.invariant


def linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, with large products shared among threads in blocks that the shapes decide.

    Args:
        values: `(…, features)`.
        weight: `(outputs, features)`.
        bias: `(outputs,)`.

    Returns:
        `(…, outputs)`.

    Example:
        >>> linear(torch.ones(1, 2), torch.tensor([[1.0, 2.0]]), torch.ones(1)).tolist()
        [[4.0]]
    """
    if is_batch_invariant() and _plain(values, weight) and not needs_grad(values, weight, bias):
        return native_linear(values, weight, bias)
    if values.numel() * len(weight) < 2 * BLOCK or not _plain(values, weight) or _set_threads() is None:
        return torch.nn.functional.linear(values, weight, bias)
    found: Any = _Product.apply(values.flatten(0, -2), weight, bias, _rounds(values, weight, bias))
    return found.unflatten(0, values.shape[:-1])  # type: ignore[no-any-return]


def total(values: Tensor) -> Tensor:
    """`values.sum()` in an order that the shape decides; torch adds one part for each thread.

    Example:
        >>> total(torch.ones(3, 40_000)).item()
        120000.0
    """
    flat = values.flatten()
    if len(flat) <= SERIAL:
        return flat.sum()
    whole = len(flat) // SERIAL * SERIAL
    return total(flat[:whole].view(-1, SERIAL).sum(1)) + flat[whole:].sum()


def sum_steps(values: Tensor) -> Tensor:
    """Sums `(batch, time, …)` over time. Steps of zeros at the end change nothing, bit by bit, if batch-invariant.

    Batch-invariant sums are added up in float64, one step after the other, and rounded once. A running sum in float64
    gives the same bits.

    Example:
        >>> sum_steps(torch.ones(2, 3, 4)).tolist()
        [[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]]
    """
    if not is_batch_invariant():
        return values.sum(1)
    # the order of `sum` depends on the shape
    total = torch.zeros((len(values), *values.shape[2:]), dtype=torch.float64, device=values.device)
    return add_steps(total, values).to(values.dtype)


def add_steps(total: Tensor, values: Tensor) -> Tensor:
    """Returns `total` `(batch, …)` in float64 plus each step of `values` `(batch, time, …)`, one after the other.

    Example:
        >>> add_steps(torch.ones(2, 4, dtype=torch.float64), torch.ones(2, 3, 4))[0].tolist()
        [4.0, 4.0, 4.0, 4.0]
    """
    for step in values.unbind(1):  # `cumsum` stores every sum, which takes several times as long
        total = total + step
    return total


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` that computes with `recurra.ops.linear`.

    Example:
        >>> import torch
        >>> from recurra import ops
        >>> tuple(ops.Linear(3, 2)(torch.randn(5, 3)).shape)
        (5, 2)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns `(…, outputs)` for `(…, features)`."""
        return linear(input, self.weight, self.bias)


def _plain(*tensors: Tensor) -> bool:
    """Returns whether the tensors are on the CPU and no mode of torch must see the operators."""
    if transformed() or torch._C._get_tracing_state() or watched(*tensors) or torch.is_autocast_enabled("cpu"):
        return False
    return (
        all(t.device.type == "cpu" and t.dtype == tensors[0].dtype for t in tensors) and tensors[0].is_floating_point()
    )


def native_linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` by the native engine: each number is one sum in a fixed order.

    Args:
        values: `(…, features)` in the memory of the CPU.
        weight: `(outputs, features)`.
        bias: `(outputs,)`.
    """
    if values.dtype not in (torch.float32, torch.float64) or (bias is not None and bias.dtype != values.dtype):
        return torch.nn.functional.linear(values, weight, bias)
    return kernels.linear(values.flatten(0, -2), weight, bias).unflatten(0, values.shape[:-1])  # type: ignore[no-any-return]


def _rounds(values: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Returns whether a product has rounded factors."""
    if not _active.rounded or kernels.engine is None or kernels.engine.bf16_engine() is None:
        return False
    single = all(t is None or t.dtype == torch.float32 for t in (values, weight, bias))
    return single and needs_grad(values, weight, bias)


class _Product(torch.autograd.Function):
    """`values @ weight.T + bias` for `(rows, features)`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None, rounded: bool) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.rounded = rounded
        return kernels.linear(values, weight, bias, bf16=True) if rounded else product(values, weight.T, bias)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,), (values, weight), rounded = grads, ctx.saved_tensors, ctx.rounded
        if torch.is_grad_enabled() or is_batched(grad) or not _plain(grad):  # a second derivative, for example
            times, outer = torch.matmul, lambda a, b: a.T @ b
        elif rounded:
            times, outer = partial(kernels.matmul, bf16=True), partial(kernels.outer, bf16=True)
        else:
            times, outer = product, lambda a, b: product(a.T, b)
        return (
            times(grad, weight) if ctx.needs_input_grad[0] else None,
            outer(grad, values) if ctx.needs_input_grad[1] else None,
            grad.sum(0) if ctx.needs_input_grad[2] else None,
            None,
        )


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """`a @ b`, plus `bias` to each row, in blocks of rows or columns of the result, whichever are more."""
    (rows, depth), columns = a.shape, b.shape[1]
    found = torch.empty(rows, columns, dtype=a.dtype)
    many, few = max(rows, columns), min(rows, columns)
    size = -(-BLOCK // max(few * depth, 1) // TILE) * TILE
    blocks = [slice(i, i + size) for i in range(0, many, size)]
    a, b, start = a.detach(), b.detach(), None if bias is None else bias.detach()

    def work(block: slice) -> None:
        over_rows = rows >= columns
        left, right, out = (a[block], b, found[block]) if over_rows else (a, b[:, block], found[:, block])
        if start is None:
            torch.mm(left, right, out=out)
        else:
            torch.addmm(start if over_rows else start[block], left, right, out=out)

    _share(work, blocks)
    return found


def _share(work: Callable[[slice], None], blocks: list[slice]) -> None:
    """Calls `work` for every block, on this thread and on helpers."""
    turn = itertools.count()  # its `next` is atomic

    def run() -> None:
        with torch.inference_mode(), reproducible_algebra():
            while (i := next(turn)) < len(blocks):
                work(blocks[i])

    helpers = min(torch.get_num_threads(), len(blocks)) - 1
    started: list[Future] = [_pool(os.getpid(), torch.get_num_threads()).submit(run) for _ in range(helpers)]
    run()
    for one in started:
        one.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Helpers of this process: a fork has none of the threads of its parent."""
    return ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="recurra-linear")
