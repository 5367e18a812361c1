"""The engine for compiled cells: any cell whose step can be traced, at the speed of C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from recurra.cells import State
from recurra.ops.call_spec import CallSpec
from recurra.ops.native import bindings
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import transforming, watched

from . import operators
from .cell import CompiledCell, cells_of
from .layer_run import NO_MASKS, Drawn, LayerRun
from .session import CompiledSession

name = "compiled"


def refuses(call: CallSpec) -> str | None:
    """Returns why this engine cannot serve the call; None if it can."""
    if bindings.engine is None:
        return f"the native engine was not built: {bindings.absent}"
    if call.device.type != "cpu":
        return f"compiled cells run on the CPU, the values lie on {call.device}"
    if call.dtype not in (torch.float32, torch.float64) or call.mixed:
        return f"compiled cells compute in float32 and float64, not {'mixed precision' if call.mixed else call.dtype}"
    if torch._C._get_tracing_state() or torch.compiler.is_exporting() or torch.compiler.is_dynamo_compiling():
        return "compiled cells cannot be traced by torch.jit or torch.export"
    if forward_ad._current_level >= 0:
        return "compiled cells have no forward-mode derivatives"
    cells = cells_of(call.stack, call.masks)
    return cells if isinstance(cells, str) else None


def run(call: CallSpec, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes."""
    stack, cells = call.stack, cells_of(call.stack, call.masks)
    assert not isinstance(cells, str)  # noqa: S101  (see `refuses`)
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
            inputs = values, initial, tuple(groups[index].values())
            output, *last = _run(call, cells[layer > 0], bool(direction), lengths, *inputs)
            outputs.append(output)
            final.append(tuple(last))
        values = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
    return values, tuple(torch.stack(s) for s in zip(*final, strict=True))


def _run(
    call: CallSpec,
    cell: CompiledCell,
    reverse: bool,
    lengths: Tensor | None,
    values: Tensor,
    states: State,
    weights: tuple[Tensor, ...],
) -> Sequence[Tensor]:
    """Runs one layer in one direction. Returns the output and the final states."""
    transforms = transforming()
    if not transforms and not watched(values, *states, *weights):
        run = LayerRun(cell, reverse, call.batch_first, lengths, _drawn(call))
        return run(values, states, weights, needs_grad=call.needs_grad, chunk=call.chunk)
    dropped = [mask.dropped for mask in call.masks.values()]
    seeds = torch.randint(2**62, (len(dropped),), device="cpu") if dropped else None
    first_row = 0 if call.draws is None else call.draws.first_row()
    options = (dropped, first_row, operators.key_of(cell), reverse, call.batch_first)
    if transforms:
        found = operators.Transformed.apply(options, len(states), values, lengths, seeds, *states, *weights)  # type: ignore[misc]
    else:
        keep = torch.is_grad_enabled()
        found = operators.forward(values, list(states), list(weights), lengths, seeds, *options, keep)
    return found[:-1]


def _drawn(call: CallSpec) -> Drawn:
    if call.draws is None:
        return NO_MASKS
    masks = [(call.draws.seed(), mask.dropped) for mask in call.masks.values()]
    return Drawn(masks, (call.draws.first_row(), 0, call.steps))


def open_session(
    stack: Stack, weights: Sequence[Tensor], batch: int, *, bf16: bool, int8: bool = False
) -> CompiledSession | None:
    """Returns a session with the weights packed; None if the cell cannot be compiled, or for rounded weights."""
    if bindings.engine is None or bf16 or int8:
        return None
    cells = cells_of(stack)
    return None if isinstance(cells, str) else CompiledSession(stack, cells, weights, batch)
