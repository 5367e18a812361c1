"""Contributions to the argument of each gate: from the input of the step, and from the previous state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells import State, linear
from recurra.cells.registry import torch_class
from recurra.inspect.core.layers import LayerCall, serving
from recurra.ops import record, recurrence
from recurra.tasks.subject import Subject

GateInputs = dict[str, tuple[Tensor, Tensor]]
"""For each gate the contributions of the input and of the previous state, including biases, each
`(layer, direction, time, unit)`."""


def gate_inputs(subject: Subject, row: int = 0) -> dict[str, GateInputs]:
    """Computes the contributions to the gates of one sequence, for each call of a recurrent layer by its name.

    Custom cells are left out, because the meaning of their weights is unknown.

    The argument of a gate is the sum of both parts. For the candidate of a GRU it is the first part plus the reset gate
    times the second (see `recurra.cells.GRU`).

    Args:
        subject: the model and its inputs.
        row: number of the sequence.
    """
    found: dict[str, GateInputs] = {}

    def serve(call: LayerCall) -> tuple[Tensor, State]:
        name = call.name if call.number == 0 else f"{call.name} (call {call.number + 1})"
        if torch_class(call.stack.cell):
            found[name] = _of_call(call, row)
        return recurrence(call.stack, call.values, call.weights, call.lengths, call.states, batch_first=True)

    with torch.no_grad(), serving(subject.network, serve):
        subject.forward(subject.batch)
    return found


def _of_call(call: LayerCall, row: int) -> GateInputs:
    stack, one = call.stack, slice(row, row + 1)
    steps = call.values.shape[1] if call.lengths is None else int(call.lengths[row])
    x = call.values[one, :steps]
    states = None if call.states is None else tuple(s[:, one].contiguous() for s in call.states)
    hidden = record(stack, x, call.weights, None, states, names=stack.cell.states[:1]).arrays[stack.cell.states[0]]
    groups = stack.split(call.weights)
    rows: list[list[tuple[Any, Any]]] = []
    for layer in range(stack.num_layers):
        below = x[0] if layer == 0 else torch.cat([*hidden[layer - 1, :, 0]], -1)
        rows.append([])
        for direction in range(stack.directions):
            index = layer * stack.directions + direction
            first = hidden.new_zeros(hidden.shape[-1]) if states is None else states[0][index, 0]
            h = hidden[layer, direction, 0]
            before = torch.cat([h[1:], first[None]]) if direction else torch.cat([first[None], h[:-1]])
            rows[-1].append((linear(below, groups[index], "ih"), linear(before[:steps], groups[index], "hh")))
    sides = [torch.stack([torch.stack([d[side] for d in layer]) for layer in rows]) for side in (0, 1)]
    gates = len(stack.cell.gates)
    return {
        gate: (sides[0].chunk(gates, -1)[i], sides[1].chunk(gates, -1)[i]) for i, gate in enumerate(stack.cell.gates)
    }
