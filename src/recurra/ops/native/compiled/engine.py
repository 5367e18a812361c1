"""The engine for compiled cells: any cell whose step can be traced, at the speed of C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from recurra.cells import State
from recurra.ops import reference
from recurra.ops.call_spec import CallSpec
from recurra.ops.native import bindings
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import transformed, watched

from .cell import cells_of
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
    if torch._C._get_tracing_state() or torch.compiler.is_compiling() or transformed():
        return "compiled cells cannot be traced or transformed by torch"
    if forward_ad._current_level >= 0:
        return "compiled cells have no forward-mode derivatives"
    cells = cells_of(call.stack, call.masks)
    return cells if isinstance(cells, str) else None


def run(call: CallSpec, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes."""
    stack, cells = call.stack, cells_of(call.stack, call.masks)
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
            layer_run = LayerRun(cells[layer > 0], bool(direction), call.batch_first, lengths, _drawn(call))
            inputs = values, initial, tuple(groups[index].values())
            output, *last = layer_run(*inputs, needs_grad=call.needs_grad, chunk=call.chunk)
            outputs.append(output)
            final.append(tuple(last))
        values = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
    return values, tuple(torch.stack(s) for s in zip(*final, strict=True))


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
