"""Recurrent layers in `torch.onnx.export(dynamo=True)`: each layer of a stack becomes an operator RNN, GRU or LSTM."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells import State
from recurra.errors import UsageError
from recurra.ops.call_spec import CallSpec

from .operators import OPERATORS, Operator


def exports(call: CallSpec) -> bool:
    """Returns whether `torch.onnx.export` records the call, and cannot record torch's kernels instead.

    The older exporter, `dynamo=False`, records torch's kernels of the cells that ONNX has operators for.
    """
    # torch.onnx.is_in_onnx_export() does not tell the exporters apart, and is always False in torch's compiler
    flags = sys.modules.get("torch.onnx._internal.exporter._flags")
    if getattr(flags, "_is_onnx_exporting", False):
        return True
    onnx = sys.modules.get("torch.onnx") if torch._C._get_tracing_state() else None
    return onnx is not None and onnx.is_in_onnx_export() and _operator(call) is None


def _operator(call: CallSpec) -> Operator | None:
    return None if call.stack.proj_size else OPERATORS.get(type(call.stack.cell))


def run(call: CallSpec, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None) -> Any:
    """Adds the operators of a stack to the graph; see `recurra.ops.recurrence` for arguments and result.

    Raises:
        UsageError: ONNX has no operator for the cell, or for a projection.
    """
    stack = call.stack
    operator = _operator(call)
    if operator is None:
        cell = "a projection" if stack.proj_size else f"the cell {stack.cell.name!r}"
        raise UsageError(
            f"torch.onnx.export has no operator for {cell}; write the file with recurra.export(module, 'model.onnx')"
        )
    groups, directions = stack.split(weights), stack.directions
    x = values.transpose(0, 1) if call.batch_first else values
    last: list[list[Tensor]] = []
    for layer in range(stack.num_layers):
        rows = slice(layer * directions, (layer + 1) * directions)
        initial = None if states is None else [state[rows] for state in states]
        x, found = _add_layer(call, operator, groups[rows], x, lengths, initial)
        last.append(found)
    output = x.transpose(0, 1) if call.batch_first else x
    return output, tuple(torch.cat(parts) for parts in zip(*last, strict=True))


def _add_layer(
    call: CallSpec,
    operator: Operator,
    groups: Sequence[Mapping[str, Tensor]],
    x: Tensor,
    lengths: Tensor | None,
    initial: list[Tensor] | None,
) -> tuple[Tensor, list[Tensor]]:
    from torch.onnx.ops import symbolic_multi_out

    stack, count = call.stack, len(call.stack.cell.states)
    weights = [torch.stack([_reordered(call, operator, g[f"weight_{side}"]) for g in groups]) for side in ("ih", "hh")]
    bias = None
    if stack.bias:
        sides = [[_reordered(call, operator, g[f"bias_{side}"]) for side in ("ih", "hh")] for g in groups]
        bias = torch.stack([torch.cat(parts) for parts in sides])
    attributes: dict[str, Any] = {
        "hidden_size": stack.hidden_size,
        "direction": "bidirectional" if stack.bidirectional else "forward",
        **operator.attributes,
    }
    if operator.activations is not None:
        attributes["activations"] = operator.activations(stack.cell) * stack.directions
    short = None if lengths is None else lengths.to(torch.int32)
    steps, batch = x.shape[:2]
    size = (stack.directions, batch, stack.hidden_size)
    output, *last = symbolic_multi_out(
        f"::{operator.kind}",
        [x, *weights, bias, short, *(initial or [])],
        attributes,
        dtypes=[x.dtype] * (1 + count),
        shapes=[(steps, *size), *[size] * count],
        version=14,
    )
    if initial is not None and lengths is not None:  # runtimes differ in the last state of an empty sequence
        some = (lengths > 0).unsqueeze(1)
        last = [torch.where(some, end, begin) for end, begin in zip(last, initial, strict=True)]
    return output.transpose(1, 2).flatten(2), last


def _reordered(call: CallSpec, operator: Operator, rows: Tensor) -> Tensor:
    """Returns rows in the operator's order of gates."""
    gates, size = call.stack.cell.gates, call.stack.hidden_size
    places = [gates.index(gate) * size for gate in operator.gates]
    return torch.cat([rows[at : at + size] for at in places])
