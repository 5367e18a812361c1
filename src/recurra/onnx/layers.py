"""Layers of `recurra.nn` as ONNX operators: recurrent layers, encoder, pooling, attention."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from recurra.nn import RECURRENT, Memoryless, Pooling, SequenceEncoder, accelerate
from recurra.ops import Stack

from .graph import Graph
from .plan import (
    Arrays,
    Plan,
    add_lengths,
    add_states,
    draw_lengths,
    draw_states,
    layer_state,
    named_states,
    output_states,
)
from .recurrence import Ragged, States, add_stack

LOWEST = float(np.finfo(np.float32).min)


def state_sizes(stack: Stack) -> dict[str, int]:
    """Returns the size of each state by name."""
    return dict(zip(stack.cell.states, stack.state_sizes, strict=True))


def add_layer(
    graph: Graph,
    layer: Any,
    values: str,
    ragged: Ragged,
    initial: States | None = None,
    *,
    reverse: bool = False,
    time_first: bool = False,
) -> tuple[str, States]:
    """Adds a recurrent layer, or `Memoryless`.

    Args:
        graph: the graph.
        layer: the layer.
        values: `(batch, time, features)`.
        ragged: lengths of the sequences.
        initial: first states; zeros without.
        reverse: see `add_stack`.
        time_first: whether values and output are `(time, batch, features)`.

    Returns:
        The output `(batch, time, size)`, 0 beyond each length, and the last states.
    """
    if isinstance(layer, Memoryless):
        return _add_memoryless(graph, layer, values, ragged)
    if not time_first:
        values = graph.op("Transpose", values, perm=[1, 0, 2])
    output, last = add_stack(graph, layer.stack, layer.weights(), values, ragged, initial, reverse=reverse)
    return output if time_first else graph.op("Transpose", output, perm=[1, 0, 2]), last


def _add_memoryless(graph: Graph, layer: Memoryless, values: str, ragged: Ragged) -> tuple[str, States]:
    for at, each in enumerate(layer.layers):
        values = graph.op("Relu", graph.linear(values, each.weight, each.bias, f"layer{at}"))  # type: ignore[arg-type]
    output = masked(graph, values, ragged)
    # the output of the last step is the only one in the sum
    steps = graph.op("Range", graph.const(0), graph.squeeze(graph.size(values, 1), 0), graph.const(1))
    end = graph.op("Sub", graph.unsqueeze(ragged.lengths, 1), graph.const(1))
    last = graph.unsqueeze(graph.op("Equal", steps, end), 2)
    return output, States({"hidden": [graph.reduce("ReduceSum", graph.op("Where", last, output, graph.const(0.0)), 1)]})


def masked(graph: Graph, values: str, ragged: Ragged, fill: float = 0.0) -> str:
    """Replaces the values `(batch, time, features)` beyond each length."""
    mask = graph.unsqueeze(ragged.mask(graph, graph.size(values, 1)), 2)
    return graph.op("Where", mask, values, graph.const(fill))


def last_hidden(graph: Graph, last: States, directions: int) -> str:
    """Joins the last hidden states of the top layer in each direction, `(batch, size)`."""
    return graph.concat(next(iter(last.values.values()))[-directions:], 1)


def add_encoder(
    graph: Graph, encoder: SequenceEncoder, values: str, ragged: Ragged, initial: States | None = None
) -> tuple[str, str, States]:
    """Adds an encoder of tokens `(batch, time)` or features `(batch, time, features)`.

    Returns:
        The output `(batch, time, size)`, the last hidden state `(batch, size)` and the last states of all layers.
    """
    if encoder.embedding is not None:
        values = graph.rows(encoder.embedding.weight, values, "embedding")
    output, last = add_layer(graph, encoder.recurrent, values, ragged, initial)
    return output, last_hidden(graph, last, encoder.directions), last


def add_pooling(graph: Graph, pooling: Pooling, output: str, last: str, ragged: Ragged) -> str:
    """Adds a pooling of outputs `(batch, time, size)` to `(batch, size)`."""
    if pooling.how == "last":
        return last
    if pooling.how == "mean":
        count = graph.cast(graph.op("Max", ragged.lengths, graph.const(1)), np.float32)
        return graph.op("Div", graph.reduce("ReduceSum", output, 1), graph.unsqueeze(count, 1))
    if pooling.how == "max":
        top = graph.reduce("ReduceMax", masked(graph, output, ragged, LOWEST), 1)
        return graph.op("Where", ragged.some, top, graph.const(0.0))
    assert pooling.score is not None  # noqa: S101  (set for attention)
    scores = graph.linear(output, pooling.score.weight, pooling.score.bias, "pooling")
    weights = graph.op("Softmax", masked(graph, scores, ragged, LOWEST), axis=1)
    return graph.reduce("ReduceSum", graph.op("Mul", weights, output), 1)  # outputs beyond the end are 0


def layer_plan(graph: Graph, layer: torch.nn.Module) -> Plan:
    """Returns the graph of one recurrent layer; `x` has the axes that the layer takes."""
    layer = accelerate(copy.deepcopy(layer)).eval()
    assert isinstance(layer, RECURRENT)  # noqa: S101  (the caller has checked it)
    stack: Any = layer.stack
    sizes, count = state_sizes(stack), stack.num_layers * stack.directions
    axes = ["batch", "time"] if layer.batch_first else ["time", "batch"]
    x = graph.input("x", np.float32, [*axes, stack.input_size])
    ragged = add_lengths(graph)
    initial = add_states(graph, sizes, count, ragged.lengths)
    output, last = add_layer(graph, layer, x, ragged, initial, time_first=not layer.batch_first)
    graph.output("scores", output, np.float32, [*axes, stack.output_size])
    output_states(graph, last, sizes)

    def sample(rng: np.random.Generator) -> Arrays:
        lengths = draw_lengths(rng)
        steps = int(lengths.max()) + int(rng.integers(0, 2))
        batch = (len(lengths), steps) if layer.batch_first else (steps, len(lengths))
        x = rng.normal(size=(*batch, stack.input_size)).astype(np.float32)
        return {"x": x, "lengths": lengths, **draw_states(rng, sizes, count, len(lengths))}

    def answer(feed: Any, found: Any) -> Arrays:
        given = layer_state(feed, sizes, count)
        with torch.inference_mode():
            output, last = layer(torch.from_numpy(feed["x"]), given, lengths=torch.from_numpy(feed["lengths"]))
        return {"scores": output.float().numpy(), **named_states(last, sizes)}

    return Plan(graph, sample, answer)
