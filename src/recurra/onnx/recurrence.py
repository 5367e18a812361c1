"""Recurrent stacks as ONNX operators: RNN, GRU and LSTM where a cell has an operator, else `Scan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from recurra.ops import Stack
from recurra.ops.onnx.operators import OPERATORS, Operator

from .cell_steps import add_step
from .graph import Graph, numbers

Weights = Mapping[str, Tensor]


class Ragged(NamedTuple):
    """Lengths of the sequences of a batch, in the forms that operators need.

    Attributes:
        lengths: int64, `(batch,)`.
        short: the same as int32.
        some: True for a sequence with steps, `(batch, 1)`.
    """

    lengths: str
    short: str
    some: str

    @classmethod
    def of(cls, graph: Graph, lengths: str) -> Ragged:
        """Returns the forms of lengths."""
        some = graph.unsqueeze(graph.op("Greater", lengths, graph.const(0)), 1)
        return cls(lengths, graph.cast(lengths, np.int32), some)

    def mask(self, graph: Graph, steps: str) -> str:
        """Returns True where a step is real, `(batch, time)`, for the number of steps `(1,)`."""
        count = graph.op("Range", graph.const(0), graph.squeeze(steps, 0), graph.const(1))
        return graph.op("Less", count, graph.unsqueeze(self.lengths, 1))


class States(NamedTuple):
    """States of a stack: for each name of a state, one value `(batch, size)` per layer and direction."""

    values: dict[str, list[str]]


class _Layer(NamedTuple):
    """A layer of a stack, with what it reads.

    Attributes:
        stack: cell, sizes and directions.
        name: first part of the names of its weights.
        groups: its weights, one group per direction.
        x: input `(time, batch, features)`.
        ragged: lengths of the sequences.
        initial: first states, one value per direction for each name; zeros without.
        reverse: whether a layer of one direction reads from the end of each sequence to its beginning.
    """

    stack: Stack
    name: str
    groups: Sequence[Weights]
    x: str
    ragged: Ragged
    initial: dict[str, list[str]] | None
    reverse: bool


def add_stack(
    graph: Graph,
    stack: Stack,
    weights: Sequence[Tensor],
    x: str,
    ragged: Ragged,
    initial: States | None = None,
    *,
    reverse: bool = False,
) -> tuple[str, States]:
    """Adds a stack of recurrent layers.

    Args:
        graph: the graph.
        stack: cell, sizes, layers and directions.
        weights: in the order of `stack.named_shapes()`.
        x: input `(time, batch, features)`.
        ragged: lengths of the sequences.
        initial: first states; zeros without.
        reverse: whether a stack of one direction reads from the end of each sequence to its beginning.

    Returns:
        The output `(time, batch, size)`, 0 beyond each length, and the last states.
    """
    groups = stack.split(weights)
    operator = None if stack.proj_size else OPERATORS.get(type(stack.cell))
    last: dict[str, list[str]] = {name: [] for name in stack.cell.states}
    for layer in range(stack.num_layers):
        rows = slice(layer * stack.directions, (layer + 1) * stack.directions)
        given = None if initial is None else {name: values[rows] for name, values in initial.values.items()}
        add = _add_scans if operator is None else _add_operator
        x, found = add(graph, _Layer(stack, f"layer{layer}", groups[rows], x, ragged, given, reverse))
        for name, values in found.items():
            last[name] += values
    return x, States(last)


def _add_operator(graph: Graph, layer: _Layer) -> tuple[str, dict[str, list[str]]]:
    """Adds one layer, in all its directions, as an operator of ONNX."""
    stack, initial = layer.stack, layer.initial
    operator, directions, states = OPERATORS[type(stack.cell)], stack.directions, stack.cell.states
    w, r = (_matrix(graph, layer, operator, side) for side in ("ih", "hh"))
    bias = ""
    if stack.bias:
        parts = [
            np.concatenate([_reordered(group[f"bias_{side}"], stack, operator) for side in ("ih", "hh")])
            for group in layer.groups
        ]
        bias = graph.store(np.stack(parts), f"{layer.name}.bias")
    first = [] if initial is None else [_stacked(graph, initial[name]) for name in states]
    direction = "bidirectional" if directions == 2 else "reverse" if layer.reverse else "forward"
    attributes = {"hidden_size": stack.hidden_size, "direction": direction, **operator.attributes}
    if operator.activations is not None:
        attributes["activations"] = operator.activations(stack.cell) * directions
    output, *last = graph.ops(
        operator.kind, layer.x, w, r, bias, layer.ragged.short, *first, outputs=1 + len(states), **attributes
    )
    if directions == 1:
        output = graph.squeeze(output, 1)
    else:
        output = graph.reshape(graph.op("Transpose", output, perm=[0, 2, 1, 3]), [0, 0, stack.output_size])
    found: dict[str, list[str]] = {}
    for name, value in zip(states, last, strict=True):
        ends = [graph.op("Gather", value, graph.const(at)) for at in range(directions)]
        if initial is not None:  # ONNX Runtime returns zeros for an empty sequence
            ends = [graph.op("Where", layer.ragged.some, *pair) for pair in zip(ends, initial[name], strict=True)]
        found[name] = ends
    return output, found


def _matrix(graph: Graph, layer: _Layer, operator: Operator, side: str) -> str:
    """Returns the weights of all directions, `(directions, rows, columns)`."""
    rows = np.concatenate([_reordered(group[f"weight_{side}"], layer.stack, operator) for group in layer.groups])
    shape = [layer.stack.directions, -1, rows.shape[1]]
    if graph.int8:
        return graph.reshape(graph.weight(rows, f"{layer.name}.weight_{side}"), shape)
    return graph.weight(rows.reshape(shape), f"{layer.name}.weight_{side}")


def _reordered(rows: Tensor, stack: Stack, operator: Operator) -> np.ndarray:
    """Returns rows in the operator's order of gates."""
    blocks = dict(zip(stack.cell.gates, np.split(numbers(rows), len(stack.cell.gates)), strict=True))
    return np.concatenate([blocks[gate] for gate in operator.gates])


def _stacked(graph: Graph, values: Sequence[str]) -> str:
    return graph.concat([graph.unsqueeze(value, 0) for value in values], 0)


def _add_scans(graph: Graph, layer: _Layer) -> tuple[str, dict[str, list[str]]]:
    """Adds one layer as one `Scan` for each direction. Beyond a sequence's end its state stays and its output is 0."""
    stack, x, initial = layer.stack, layer.x, layer.initial
    steps = graph.op("Transpose", layer.ragged.mask(graph, graph.size(x, 0)), perm=[1, 0])
    active = graph.unsqueeze(steps, 2)
    outputs, found = [], {name: [] for name in stack.cell.states}
    for direction, group in enumerate(layer.groups):
        if initial is None:
            batch = graph.size(x, 1)
            shapes = (graph.concat([batch, graph.const([size], np.int64)], 0) for size in stack.state_sizes)
            first = [graph.op("Expand", graph.const([[0.0]]), shape) for shape in shapes]
        else:
            first = [initial[name][direction] for name in stack.cell.states]
        backwards = int(layer.reverse or direction == 1)
        body = _body(graph, stack, group, f"{layer.name}.{direction}")
        *last, output = graph.ops(
            "Scan",
            *first,
            x,
            active,
            outputs=len(first) + 1,
            body=body,
            num_scan_inputs=2,
            scan_input_directions=[backwards] * 2,
            scan_output_directions=[backwards],
        )
        outputs.append(output)
        for name, value in zip(stack.cell.states, last, strict=True):
            found[name].append(value)
    return graph.concat(outputs, 2), found


def _body(graph: Graph, stack: Stack, group: Weights, name: str) -> object:
    """Returns the graph of one step of a cell: states, input and activity to new states and output."""
    weights = {key: graph.weight(value, f"{name}.{key}") for key, value in group.items()}
    body = Graph(graph.opset, outer=graph)
    sizes = stack.state_sizes
    olds = [body.input(f"{name}.old.{at}", np.float32, ["batch", size]) for at, size in enumerate(sizes)]
    x = body.input(f"{name}.x", np.float32, ["batch", group["weight_ih"].shape[1]])
    active = body.input(f"{name}.active", np.bool_, ["batch", 1])
    news = add_step(body, stack, x, olds, weights, {key: tuple(value.shape) for key, value in group.items()})
    output = body.op("Where", active, news[0], body.const(0.0))
    for at, (new, old, size) in enumerate(zip(news, olds, sizes, strict=True)):
        body.output(f"{name}.new.{at}", body.op("Where", active, new, old), np.float32, ["batch", size])
    body.output(f"{name}.output", output, np.float32, ["batch", sizes[0]])
    return body.build(f"{name}.step")
