"""The engine for compiled cells: any cell whose step can be traced, at the speed of C++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from recurra.cells import State
from recurra.ops import reference
from recurra.ops.call_spec import CallSpec
from recurra.ops.native import bindings
from recurra.ops.native.first_derivatives import first_only
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import materialize, transformed, watched

from .cell import CompiledCell, cells_of
from .session import CompiledSession

name = "compiled"

_FIRST_ONLY = 'compiled cells give first derivatives only; use engine="reference"'


def refuses(call: CallSpec) -> str | None:
    """Returns why this engine cannot serve the call; None if it can."""
    if bindings.engine is None:
        return f"the native engine was not built: {bindings.absent}"
    if call.device.type != "cpu":
        return f"compiled cells run on the CPU, the values lie on {call.device}"
    if call.dtype not in (torch.float32, torch.float64) or call.mixed:
        return f"compiled cells compute in float32 and float64, not {'mixed precision' if call.mixed else call.dtype}"
    if call.chunk:
        return 'compiled cells have no memory="recompute"'
    if torch._C._get_tracing_state() or torch.compiler.is_compiling() or transformed():
        return "compiled cells cannot be traced or transformed by torch"
    if forward_ad._current_level >= 0:
        return "compiled cells have no forward-mode derivatives"
    cells = cells_of(call.stack)
    return cells if isinstance(cells, str) else None


def run(call: CallSpec, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes."""
    stack, cells = call.stack, cells_of(call.stack)
    if isinstance(cells, str) or watched(values, *weights, *(states or ())):
        return reference.run(call, values, weights, lengths, states)  # torch must see each operation
    lengths = None if lengths is None else lengths.cpu().contiguous()
    groups = stack.split(weights)
    final: list[tuple[Tensor, ...]] = []
    for layer in range(stack.num_layers):
        if layer > 0 and call.training and call.dropout > 0:
            values = F.dropout(values, call.dropout)
        outputs = []
        for direction in range(stack.directions):
            index = layer * stack.directions + direction
            initial = () if states is None else tuple(s[index] for s in states)
            layer_run = _LayerRun(cells[layer > 0], bool(direction), call.batch_first, lengths)
            output, *last = layer_run(values, initial, tuple(groups[index].values()), needs_grad=call.needs_grad)
            outputs.append(output)
            final.append(tuple(last))
        values = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
    return values, tuple(torch.stack(s) for s in zip(*final, strict=True))


def open_session(stack: Stack, weights: Sequence[Tensor], batch: int, *, bf16: bool) -> CompiledSession | None:
    """Returns a session with the weights packed; None if the cell cannot be compiled, or for bfloat16 weights."""
    if bindings.engine is None or bf16:
        return None
    cells = cells_of(stack)
    return None if isinstance(cells, str) else CompiledSession(stack, cells, weights, batch)


class _LayerRun:
    """One layer in one direction: what its calls of the engine have in common."""

    def __init__(self, cell: CompiledCell, reverse: bool, batch_first: bool, lengths: Tensor | None) -> None:
        self.cell, self.reverse, self.batch_first, self.lengths = cell, reverse, batch_first, lengths

    def __call__(self, values: Tensor, states: State, weights: tuple[Tensor, ...], *, needs_grad: bool):
        if needs_grad:
            return _Recurrence.apply(self, len(states), values, *states, *weights)  # type: ignore[misc]
        output, last, _ = self.forward(values, states, weights, keep=False)
        return output, *last

    def forward(
        self, values: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], *, keep: bool
    ) -> tuple[Tensor, list[Tensor], Any]:
        """Returns the output, the final states, and what the backward pass reads."""
        program = self.cell.program(values.dtype, training=keep)
        values, states, weights = self._plain(values), self._contiguous(states), self._contiguous(weights)
        batch, steps = self._sizes(values)
        sizes = self.cell.state_sizes
        output = values.new_empty(*values.shape[:2], sizes[0])
        last = [values.new_empty(batch, size) for size in sizes]
        tape = program.tape(batch, steps) if keep else None
        pointers = [s.data_ptr() for s in states] or [0] * len(sizes)
        program.forward(
            (batch, steps, torch.get_num_threads()),
            self.reverse,
            self._view(values),
            0 if self.lengths is None else self.lengths.data_ptr(),
            [w.data_ptr() for w in weights],
            pointers,
            self._view(output),
            [s.data_ptr() for s in last],
            0 if tape is None else tape.data_ptr(),
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
        values = self._plain(inputs[0])
        states, weights = self._contiguous(inputs[1 : 1 + count]), self._contiguous(inputs[1 + count :])
        batch, steps = self._sizes(values)
        sizes = self.cell.state_sizes
        output = None if grads[0] is None else self._plain(grads[0])
        last = [None if g is None else materialize(g).contiguous() for g in grads[1:]]
        of_values = torch.empty(values.shape, dtype=values.dtype) if needs[0] else None
        of_states = [torch.empty_like(s) if need else None for s, need in zip(states, needs[1:], strict=False)]
        of_weights = [torch.empty_like(w) for w in weights] if any(needs[1 + count :]) else []
        self.cell.program(values.dtype, training=True).backward(
            (batch, steps, torch.get_num_threads()),
            self.reverse,
            self._view(values),
            0 if self.lengths is None else self.lengths.data_ptr(),
            [w.data_ptr() for w in weights],
            [s.data_ptr() for s in states] or [0] * len(sizes),
            tape.data_ptr(),
            (0, 0, 0) if output is None else self._view(output),
            [0 if g is None else g.data_ptr() for g in last],
            (0, 0, 0) if of_values is None else self._view(of_values),
            [w.data_ptr() for w in of_weights],
            [0 if s is None else s.data_ptr() for s in of_states],
        )
        return [of_values, *of_states, *(of_weights or [None] * len(weights))]

    def _sizes(self, values: Tensor) -> tuple[int, int]:
        first, second = values.shape[:2]
        return (first, second) if self.batch_first else (second, first)

    def _view(self, values: Tensor) -> tuple[int, int, int]:
        batch, time = (0, 1) if self.batch_first else (1, 0)
        return values.data_ptr(), values.stride(batch), values.stride(time)

    @staticmethod
    def _plain(values: Tensor) -> Tensor:
        values = materialize(values.detach())
        return values if values.stride(-1) == 1 or values.shape[-1] == 1 else values.contiguous()

    @staticmethod
    def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
        return [materialize(t.detach()).contiguous() for t in tensors]


class _Recurrence(torch.autograd.Function):
    """One layer in one direction as a node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, run: _LayerRun, count: int, *tensors: Tensor):
        values, states, weights = tensors[0], tensors[1 : 1 + count], tensors[1 + count :]
        output, last, ctx.tape = run.forward(values, states, weights, keep=True)
        ctx.save_for_backward(*tensors)
        lengths = None if run.lengths is None else run.lengths.clone()  # the caller may reuse the tensor
        ctx.run = _LayerRun(run.cell, run.reverse, run.batch_first, lengths)
        ctx.count = count
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):
        saved = ctx.saved_tensors
        with torch.no_grad():
            found = ctx.run.backward(grads, saved, ctx.count, ctx.tape, ctx.needs_input_grad[2:])
        inputs = [*saved, *(g for g in grads if g is not None)]
        return None, None, *first_only(_FIRST_ONLY, inputs, found)
