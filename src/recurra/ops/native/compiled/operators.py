"""Compiled cells as operators of torch: for `torch.compile` and `torch.func`.

Compilers record the operators. Plain calls do not use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from recurra.errors import EngineError
from recurra.ops.native.transforms import for_each_sample

from .cell import CompiledCell
from .layer_run import FIRST_ONLY, Drawn, LayerRun

_CALL, _OPTIONS = "Tensor values, Tensor[] states, Tensor[] weights, Tensor? lengths", "str cell, bool reverse"
_MASKS = "Tensor? seeds, float[] dropped, int first_row"

library = torch.library.Library("recurra", "FRAGMENT")
library.define(f"compiled_forward({_CALL}, {_MASKS}, {_OPTIONS}, bool batch_first, bool keep) -> Tensor[]")
library.define(
    f"compiled_backward(Tensor?[] grads, Tensor tape, {_CALL}, {_OPTIONS}, bool batch_first, bool[] needs) -> Tensor[]"
)

_cells: dict[str, CompiledCell] = {}
"""Cells by their keys. A cache of a compiler may live longer than this process, so a key stands for the program."""


def key_of(cell: CompiledCell) -> str:
    """Returns the name of a cell in the operators."""
    _cells.setdefault(cell.key, cell)
    return cell.key


def _forward(
    values: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    seeds: Tensor | None,
    dropped: Sequence[float],
    first_row: int,
    cell: str,
    reverse: bool,
    batch_first: bool,
    keep: bool,
) -> list[Tensor]:
    compiled = _cells[cell]
    run = LayerRun(compiled, reverse, batch_first, lengths)
    batch, steps = run.sizes(values)
    numbers = [] if seeds is None else seeds.tolist()
    run.drawn = Drawn(list(zip(numbers, dropped, strict=True)), (first_row, 0, steps))
    # all of it is an output of the operator, and outputs must be defined
    tape = values.new_zeros(compiled.tape_size(values.dtype, batch, steps) if keep else 0)
    output, last, _ = run.forward(values, states, weights, keep=keep, tape=tape)
    return [output, *last, tape]


def _forward_fake(values: Tensor, *rest: Any) -> list[Tensor]:
    *_, cell, reverse, batch_first, keep = rest
    compiled = _cells[cell]
    batch, steps = LayerRun(compiled, reverse, batch_first, None).sizes(values)
    sizes = compiled.state_sizes
    size = compiled.tape_size(values.dtype, batch, steps) if keep else 0
    output = values.new_empty(*values.shape[:2], sizes[0])
    return [output, *(values.new_empty(batch, size) for size in sizes), values.new_empty(size)]


def _backward(
    grads: Sequence[Tensor | None],
    tape: Tensor,
    values: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    cell: str,
    reverse: bool,
    batch_first: bool,
    needs: Sequence[bool],
) -> list[Tensor]:
    run = LayerRun(_cells[cell], reverse, batch_first, lengths)
    found = run.backward(grads, [values, *states, *weights], len(states), tape, needs)
    return [grad for grad, need in zip(found, needs, strict=True) if grad is not None and need]


def _backward_fake(grads: Any, tape: Any, values: Any, states: Any, weights: Any, *rest: Any) -> list[Tensor]:
    inputs = [values, *states, *weights]
    return [one.new_empty(one.shape) for one, need in zip(inputs, rest[-1], strict=True) if need]


def _keep_for_backward(ctx: Any, inputs: tuple, output: Any) -> None:
    values, states, weights, lengths, _, dropped, _, *ctx.options, keep = inputs
    ctx.counts, ctx.ragged = (len(states), len(weights), len(dropped)), lengths is not None
    ctx.save_for_backward(output[-1], values, *states, *weights, *([lengths] if ctx.ragged else []))
    ctx.set_materialize_grads(False)
    if not keep:
        raise EngineError("this call kept nothing for a backward pass")


def _differentiate(ctx: Any, grads: Any) -> tuple:
    tape, values, *rest = ctx.saved_tensors
    n, m, masks = ctx.counts
    lengths = rest[-1] if ctx.ragged else None
    wanted = [_flat(need) for need in ctx.needs_input_grad[:3]]
    needs = [bool(need) for part in wanted for need in part] or [False]
    # an empty list of states has one entry
    needs = [needs[0], *(needs[1 : 1 + n] if n else []), *wanted[2]]
    inputs = (values, rest[:n], rest[n : n + m], lengths)
    found = iter(torch.ops.recurra.compiled_backward(list(grads[:-1]), tape, *inputs, *ctx.options, needs))
    each = [next(found) if need else None for need in needs]
    of_dropped = None if masks else []  # torch takes an empty list for a list of tensors
    return each[0], each[1 : 1 + n], each[1 + n :], None, None, of_dropped, *[None] * 5


def _flat(needs: Any) -> Sequence[bool]:
    return needs if isinstance(needs, list | tuple) else (needs,)


def _no_second(ctx: Any, *grads: Any) -> Any:
    raise EngineError(FIRST_ONLY)


library.impl("compiled_forward", _forward, "CPU")
library.impl("compiled_backward", _backward, "CPU")
torch.library.register_fake("recurra::compiled_forward", _forward_fake, lib=library)
torch.library.register_fake("recurra::compiled_backward", _backward_fake, lib=library)
torch.library.register_autograd(
    "recurra::compiled_forward", _differentiate, setup_context=_keep_for_backward, lib=library
)
torch.library.register_autograd("recurra::compiled_backward", _no_second, lib=library)
forward = torch.ops.recurra.compiled_forward


class Transformed(Function):
    """`forward` under the transforms of `torch.func`; the tensors are values, lengths, seeds, states and weights."""

    @staticmethod
    def forward(options: tuple, count: int, *tensors: Any):  # noqa: D102
        values, lengths, seeds, *rest = tensors
        return tuple(_forward(values, rest[:count], rest[count:], lengths, seeds, *options, True))  # type: ignore[call-arg]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:  # noqa: D102
        ctx.options, ctx.count, *tensors = inputs
        ctx.save_for_backward(output[-1], *tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Any):  # noqa: D102
        _, _, values, *_ = wanted = ctx.needs_input_grad
        needs = (values, *wanted[5:])
        tape, *tensors = ctx.saved_tensors
        found = iter(_Gradients.apply(ctx.options[2:], ctx.count, needs, tape, *grads[:-1], *tensors))  # type: ignore[misc]
        each = [next(found) if need else None for need in needs]
        return None, None, each[0], None, None, *each[1:]

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any):  # noqa: D102
        return for_each_sample(Transformed.apply, info, in_dims, args)


class _Gradients(Function):
    @staticmethod
    def forward(options: tuple, count: int, needs: tuple, tape: Tensor, *tensors: Any):
        grads = len(_cells[options[0]].state_sizes) + 1
        values, lengths, _, *rest = tensors[grads:]
        return tuple(_backward(tensors[:grads], tape, values, rest[:count], rest[count:], lengths, *options, needs))  # type: ignore[call-arg]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any):
        raise EngineError(FIRST_ONLY)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any):
        return for_each_sample(_Gradients.apply, info, in_dims, args)
