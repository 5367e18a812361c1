"""Checks the arguments of a call and describes the call for the engines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor

from recurra.cells import State
from recurra.errors import UsageError

from .call_spec import MEMORIES, PRECISIONS, CallSpec
from .registry import kernels
from .stack import Stack
from .tensor_memory import check_device, check_input, check_layout, check_readable, needs_grad, transforming, watched


def prepare(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | Sequence[int] | None = None,
    states: State | None = None,
    *,
    batch_first: bool = False,
    dropout: float = 0.0,
    training: bool = False,
    memory: str = "full",
    precision: str = "float32",
) -> tuple[CallSpec, Tensor | None]:
    """Checks the arguments of `recurrence` and sums them up, with `lengths` as a tensor.

    Raises:
        UsageError: sizes, types, devices or lengths do not fit, or a tensor has no numbers in memory.
    """
    readable = kernels.readable([values, *weights, *(states or ())])
    if not readable:
        check_input("the input", values)
    if values.dim() != 3 or values.shape[-1] != stack.input_size:
        raise UsageError(
            f"values must have 3 dimensions, the last of size {stack.input_size}; got {tuple(values.shape)}"
        )
    batch, steps = (values.shape[0], values.shape[1]) if batch_first else (values.shape[1], values.shape[0])
    if lengths is not None:
        lengths = check_lengths(lengths, batch, steps)
    if precision not in PRECISIONS:
        raise UsageError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    device = values.device.type
    # autocast brings the dtypes together itself
    mixed = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    for name, tensor, shape in _named_tensors(stack, weights, states, batch):
        if not readable:
            check_device(name, tensor, values.device)
            check_input(name, tensor)
        if tensor.shape != shape:
            raise UsageError(f"{name} must have shape {shape}, got {tuple(tensor.shape)}")
        if tensor.dtype != values.dtype and not mixed:
            raise UsageError(f"values are {values.dtype} but {name} is {tensor.dtype}; convert one of them")
    call = CallSpec(
        stack=stack,
        device=values.device,
        dtype=values.dtype,
        mixed=mixed,
        steps=steps,
        batch=batch,
        ragged=lengths is not None,
        needs_grad=needs_grad(values, *weights, *(states or ())),
        batch_first=batch_first,
        dropout=dropout,
        training=training,
        chunk=_chunk(memory, steps),
        precision=precision,
    )
    return call, lengths


def _chunk(memory: str, steps: int) -> int:
    """With `"recompute"` the √T states between chunks are stored, and the √T steps of one chunk at a time."""
    if memory not in MEMORIES:
        raise UsageError(f"memory is one of {', '.join(MEMORIES)}, not {memory!r}")
    return max(1, math.isqrt(int(steps))) if memory == "recompute" else 0


def check_lengths(lengths: Tensor | Sequence[int], batch: int, steps: int) -> Tensor:
    """Returns `lengths` as an int64 tensor `(batch,)` after checking that each is in `0..steps`.

    Raises:
        UsageError: they are no whole numbers, not one per sequence, out of range, or not in memory.
    """
    lengths = as_tensor(lengths)
    check_layout("the tensor of lengths", lengths)
    whole = not (lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool)
    if lengths.numel() and not whole:  # torch reads the lengths [] of an empty batch as float32
        raise UsageError(f"lengths must be whole numbers, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise UsageError(f"lengths must have shape ({batch},), one per sequence; got {tuple(lengths.shape)}")
    if watched(lengths) or transforming():
        return lengths.long()  # no values to look at yet; the native engine checks them itself
    check_readable("the tensor of lengths", lengths)
    checked = lengths.long()  # torch has few operations for unsigned numbers
    if lengths.dtype == torch.uint64:
        checked = checked.masked_fill(checked < 0, torch.iinfo(torch.int64).max)
    if batch and (int(checked.min()) < 0 or int(checked.max()) > steps):
        raise UsageError(
            f"lengths must lie between 0 and the {steps} steps of the batch; "
            f"got {int(checked.min())} to {int(checked.max())}"
        )
    return checked


def as_tensor(lengths: Any) -> Tensor:
    """Converts lengths to a tensor on the CPU.

    Raises:
        UsageError: they are no list, array or tensor of numbers.
    """
    if isinstance(lengths, Tensor):
        return lengths
    if isinstance(lengths, Set | Mapping):
        raise UsageError(f"lengths must be in the order of the batch, but a {type(lengths).__name__} has no such order")
    try:
        return torch.as_tensor(lengths, device="cpu")  # also if torch's default device is another
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UsageError(
            f"lengths must be a list, array or tensor of whole numbers, one per sequence; "
            f"cannot read {type(lengths).__name__}: {error}"
        ) from error


def _named_tensors(
    stack: Stack, weights: Sequence[Tensor], states: State | None, batch: int
) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
    """Every weight and initial state with its name and the shape that it must have."""
    shapes = list(stack.named_shapes())
    if len(weights) != len(shapes):
        raise UsageError(f"this stack has {len(shapes)} weights, got {len(weights)}")
    for (name, shape), weight in zip(shapes, weights, strict=True):
        yield name, weight, shape
    if states is None:
        return
    names = stack.cell.states
    if len(states) != len(names):
        raise UsageError(f"{stack.cell.name} has {len(names)} states ({', '.join(names)}), got {len(states)}")
    for name, state, shape in zip(names, states, stack.state_shapes(batch), strict=True):
        yield f"the initial {name} state", state, shape
