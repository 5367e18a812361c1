"""Calls of the C++ engine for one layer in one direction, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.cells import State
from recurra.ops.native import bindings
from recurra.ops.native.first_derivatives import first_only

from .cell import CompiledCell

FIRST_ONLY = 'compiled cells give first derivatives only; use engine="reference"'


class Drawn(NamedTuple):
    """The masks of a call; see `Masks` in csrc/engine/compiled/program.h.

    Attributes:
        masks: seed and probability of each mask.
        where: number of the first sequence in a larger batch, first step, and all steps.
    """

    masks: list[tuple[int, float]]
    where: tuple[int, int, int]


NO_MASKS = Drawn([], (0, 0, 0))


class LayerRun:
    """One layer in one direction: what its calls of the engine have in common."""

    def __init__(
        self, cell: CompiledCell, reverse: bool, batch_first: bool, lengths: Tensor | None, drawn: Drawn = NO_MASKS
    ) -> None:
        self.cell, self.reverse, self.batch_first, self.lengths = cell, reverse, batch_first, lengths
        self.drawn = drawn

    def __call__(self, values: Tensor, states: State, weights: tuple[Tensor, ...], *, needs_grad: bool, chunk: int):
        """Returns the output and the final states; `chunk` steps are stored at a time, 0 for all."""
        if needs_grad and chunk:
            return _Recomputed.apply(self, chunk, len(states), values, *states, *weights)  # type: ignore[misc]
        if needs_grad:
            return _Recurrence.apply(self, len(states), values, *states, *weights)  # type: ignore[misc]
        output, last, _ = self.forward(values, states, weights, keep=False)
        return output, *last

    def forward(
        self, values: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], *, keep: bool, tape: Any = None
    ) -> tuple[Tensor, list[Tensor], Any]:
        """Returns the output, the final states, and what the backward pass reads: `tape` if it is given."""
        program = self.cell.program(values.dtype, training=keep)
        values, states, weights = (
            bindings.plain(values.detach()),
            bindings.contiguous(states),
            bindings.contiguous(weights),
        )
        batch, steps = self.sizes(values)
        sizes = self.cell.state_sizes
        output = values.new_empty(*values.shape[:2], sizes[0])
        last = [values.new_empty(batch, size) for size in sizes]
        if keep and tape is None:
            tape = program.tape(batch, steps)
        pointers = [s.data_ptr() for s in states] or [0] * len(sizes)
        program.forward(
            (batch, steps, torch.get_num_threads()),
            self.reverse,
            bindings.view(values, self.batch_first),
            0 if self.lengths is None else self.lengths.data_ptr(),
            [w.data_ptr() for w in weights],
            pointers,
            bindings.view(output, self.batch_first),
            [s.data_ptr() for s in last],
            tape.data_ptr() if keep else 0,
            self.drawn,
        )
        return output, last, tape

    def backward(
        self,
        grads: Sequence[Tensor | None],
        inputs: Sequence[Tensor],
        count: int,
        tape: Any,
        needs: Sequence[bool],
    ) -> list[Tensor | None]:
        """Returns the gradients of the values, of `count` states and of the weights, each as `needs` says."""
        values = bindings.plain(inputs[0].detach())
        states, weights = bindings.contiguous(inputs[1 : 1 + count]), bindings.contiguous(inputs[1 + count :])
        batch, steps = self.sizes(values)
        sizes = self.cell.state_sizes
        output = None if grads[0] is None else bindings.plain(grads[0].detach())
        last = bindings.contiguous(grads[1:])
        of_values = torch.empty(values.shape, dtype=values.dtype) if needs[0] else None
        of_states = [torch.empty_like(s) if need else None for s, need in zip(states, needs[1:], strict=False)]
        of_weights = [torch.empty_like(w) for w in weights] if any(needs[1 + count :]) else []
        self.cell.program(values.dtype, training=True).backward(
            (batch, steps, torch.get_num_threads()),
            self.reverse,
            bindings.view(values, self.batch_first),
            0 if self.lengths is None else self.lengths.data_ptr(),
            [w.data_ptr() for w in weights],
            [s.data_ptr() for s in states] or [0] * len(sizes),
            tape.data_ptr(),
            bindings.view(output, self.batch_first),
            [0 if g is None else g.data_ptr() for g in last],
            bindings.view(of_values, self.batch_first),
            [w.data_ptr() for w in of_weights],
            [0 if s is None else s.data_ptr() for s in of_states],
        )
        return [of_values, *of_states, *(of_weights or [None] * len(weights))]

    def part(self, begin: int, steps: int) -> LayerRun:
        """Returns the run of some consecutive steps."""
        lengths = None if self.lengths is None else (self.lengths - begin).clamp(0, steps)
        row, first, all_steps = self.drawn.where
        drawn = Drawn(self.drawn.masks, (row, first + begin, all_steps))
        return LayerRun(self.cell, self.reverse, self.batch_first, lengths, drawn)

    def parts(self, values: Tensor, chunk: int) -> list[tuple[int, int]]:
        """Returns begin and number of the steps of each chunk, in the order of the recurrence."""
        steps = self.sizes(values)[1]
        found = [(begin, min(chunk, steps - begin)) for begin in range(0, steps, chunk)]
        return found[::-1] if self.reverse else found

    def time(self) -> int:
        """Returns the axis of time."""
        return 1 if self.batch_first else 0

    def kept(self) -> LayerRun:
        """Returns the run with a copy of the lengths: the caller may reuse the tensor."""
        lengths = None if self.lengths is None else self.lengths.clone()
        return LayerRun(self.cell, self.reverse, self.batch_first, lengths, self.drawn)

    def sizes(self, values: Tensor) -> tuple[int, int]:
        """Returns the number of sequences and of steps."""
        first, second = values.shape[:2]
        return (first, second) if self.batch_first else (second, first)


class _Recurrence(torch.autograd.Function):
    """One layer in one direction as a node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, run: LayerRun, count: int, *tensors: Tensor):
        values, states, weights = tensors[0], tensors[1 : 1 + count], tensors[1 + count :]
        output, last, ctx.tape = run.forward(values, states, weights, keep=True)
        ctx.save_for_backward(*tensors)
        ctx.run, ctx.count = run.kept(), count
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):
        saved = ctx.saved_tensors
        with torch.no_grad():
            found = ctx.run.backward(grads, saved, ctx.count, ctx.tape, ctx.needs_input_grad[2:])
        inputs = [*saved, *(g for g in grads if g is not None)]
        return None, None, *first_only(FIRST_ONLY, inputs, found)


class _Recomputed(torch.autograd.Function):
    """The same, which stores the states before each chunk of steps. The backward pass computes the rest again."""

    @staticmethod
    def forward(ctx: Any, run: LayerRun, chunk: int, count: int, *tensors: Tensor):
        values, states, weights = tensors[0], tensors[1 : 1 + count], tensors[1 + count :]
        output = values.new_empty(*values.shape[:2], run.cell.state_sizes[0])
        parts, before = run.parts(values, chunk), []
        for begin, steps in parts:
            before.append(states)
            part = values.narrow(run.time(), begin, steps)
            found, states, _ = run.part(begin, steps).forward(part, states, weights, keep=False)
            output.narrow(run.time(), begin, steps).copy_(found)
        if not parts:
            output, states, _ = run.forward(values, states, weights, keep=False)
        ctx.save_for_backward(*tensors)
        ctx.run, ctx.count, ctx.parts, ctx.before = run.kept(), count, parts, before
        ctx.set_materialize_grads(False)
        return output, *states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):
        saved = ctx.saved_tensors
        with torch.no_grad():
            found = _recompute(ctx.run, ctx.parts, ctx.before, grads, saved, ctx.count, ctx.needs_input_grad[3:])
        inputs = [*saved, *(g for g in grads if g is not None)]
        return None, None, None, *first_only(FIRST_ONLY, inputs, found)


def _recompute(
    run: LayerRun,
    parts: Sequence[tuple[int, int]],
    before: Sequence[Sequence[Tensor]],
    grads: Sequence[Tensor | None],
    saved: Sequence[Tensor],
    count: int,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    values, weights = saved[0], saved[1 + count :]
    of_values = torch.zeros_like(values) if needs[0] else None
    of_states: list[Tensor | None] = list(grads[1:])
    of_weights: list[Tensor | None] = [torch.zeros_like(w) if any(needs[1 + count :]) else None for w in weights]
    for (begin, steps), states in zip(reversed(parts), reversed(before), strict=True):
        part, chunk = run.part(begin, steps), values.narrow(run.time(), begin, steps)
        _, _, tape = part.forward(chunk, states, weights, keep=True)
        of_output = None if grads[0] is None else grads[0].narrow(run.time(), begin, steps)
        wanted = (needs[0], *[True] * len(states), *needs[1 + count :])
        found = part.backward((of_output, *of_states), (chunk, *states, *weights), len(states), tape, wanted)
        if of_values is not None and found[0] is not None:
            of_values.narrow(run.time(), begin, steps).copy_(found[0])
        of_states = found[1 : 1 + len(states)]
        for total, one in zip(of_weights, found[1 + len(states) :], strict=True):
            if total is not None and one is not None:
                total += one
    return [of_values, *of_states[:count], *of_weights]
