"""Neighbouring spectra that make one step of a network of recordings."""

from __future__ import annotations

from .graph import Graph
from .layers import masked
from .recurrence import Ragged


def add_frames(graph: Graph, frames: int, values: str, ragged: Ragged) -> tuple[str, Ragged]:
    """Joins every few spectra `(batch, time, bands)` to one step, as `recurra.nn.stack_frames` does."""
    steps = graph.op("Div", graph.op("Add", graph.size(values, 1), graph.const([frames - 1])), graph.const([frames]))
    missing = graph.op("Sub", graph.op("Mul", steps, graph.const([frames])), graph.size(values, 1))
    zero = graph.const([0, 0, 0, 0])
    pads = graph.concat([zero, missing, graph.const([0])], 0)
    padded = graph.op("Pad", masked(graph, values, ragged), pads)
    shape = graph.concat([graph.size(values, 0), steps, graph.const([-1])], 0)
    lengths = graph.op("Div", graph.op("Add", ragged.lengths, graph.const(frames - 1)), graph.const(frames))
    return graph.op("Reshape", padded, shape), Ragged.of(graph, lengths)
