"""Terms of the argument of each gate: the product of the input, the product of the previous state, the bias."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recurra.cells import Cell, State
from recurra.cells.registry import torch_class
from recurra.inspect.core.layers import LayerCall, serving
from recurra.ops import record, recurrence
from recurra.tasks.subject import Subject

GateInputs = dict[str, dict[str, Tensor]]
"""For each gate its terms by name, each `(layer, direction, time, unit)`; biases have one step."""


def gate_inputs(subject: Subject, row: int = 0) -> dict[str, GateInputs]:
    """Computes the terms of the gates of one sequence, for each call of a recurrent layer by its name.

    Custom cells are left out, because the meaning of their weights is unknown.

    The argument of a gate is the sum of `input`, `past` and `bias`. The candidate of a GRU has a second bias, `past
    bias`. Its argument is `input + bias + reset * (past + past bias)` (see `recurra.cells.GRU`). A layer without biases
    has no such terms.

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
    rows: list[list[dict[str, Tensor]]] = []
    for layer in range(stack.num_layers):
        below = x[0] if layer == 0 else torch.cat([*hidden[layer - 1, :, 0]], -1)
        rows.append([])
        for direction in range(stack.directions):
            index = layer * stack.directions + direction
            first = hidden.new_zeros(hidden.shape[-1]) if states is None else states[0][index, 0]
            h = hidden[layer, direction, 0]
            before = torch.cat([h[1:], first[None]]) if direction else torch.cat([first[None], h[:-1]])
            rows[-1].append(_terms(stack.cell, below, before[:steps], groups[index]))
    terms = {name: torch.stack([torch.stack([d[name] for d in layer]) for layer in rows]) for name in rows[0][0]}
    count = len(stack.cell.gates)
    found: GateInputs = {gate: {} for gate in stack.cell.gates}
    for name, values in terms.items():
        for gate, chosen in zip(stack.cell.gates, values.chunk(count, -1), strict=True):
            if name != "past bias" or _resets(stack.cell, gate):
                found[gate][name] = chosen
    return found


def _terms(cell: Cell, x: Tensor, h: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the terms of all gates of one layer and direction, `(time, gates * unit)`; biases have one step."""
    found = {"input": x @ weights["weight_ih"].T, "past": h @ weights["weight_hh"].T}
    if "bias_ih" not in weights:
        return found
    inner, outer = weights["bias_ih"][None], weights["bias_hh"][None]
    apart = [_resets(cell, gate) for gate in cell.gates]
    own = torch.tensor(apart, device=outer.device).repeat_interleave(outer.shape[-1] // len(apart))
    return {**found, "bias": torch.where(own, inner, inner + outer), "past bias": outer}


def _resets(cell: Cell, gate: str) -> bool:
    """Returns whether the reset gate scales the part of the previous state, together with its bias."""
    return "reset" in cell.gates and gate == "candidate"
