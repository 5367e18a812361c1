"""Poolings of sequences that arrive in pieces: sums over the steps so far are states, zeros before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recurra.nn import Pooling

from .graph import Graph
from .layers import LOWEST, add_pooling, masked
from .plan import Arrays
from .recurrence import Ragged

_Pooled = tuple[str, dict[str, str]]

SUM, MAX, WEIGHT, STEPS = "pooling.sum", "pooling.max", "pooling.weight", "pooling.steps"


def pooling_sizes(pooling: Pooling, size: int) -> dict[str, int]:
    """Returns the size of each state by name, for outputs of some size."""
    return {
        "last": {},
        "mean": {SUM: size, STEPS: 1},
        "max": {MAX: size, STEPS: 1},
        "attention": {MAX: 1, WEIGHT: 1, SUM: size},
    }[pooling.how]


def draw_pooling(rng: np.random.Generator, sizes: Mapping[str, int], batch: int) -> Arrays:
    """Returns states after a random number of steps, by name of the state; some are before the first step."""
    begun = rng.integers(0, 2, (batch, 1))
    states: Arrays = {name: rng.normal(size=(batch, size)) * begun for name, size in sizes.items()}
    for name in (STEPS, WEIGHT):
        if name in states:
            states[name] = rng.integers(1, 5, (batch, 1)) * begun
    return {name: value.astype(np.float32) for name, value in states.items()}


def add_pooling_steps(
    graph: Graph, pooling: Pooling, output: str, last: str, ragged: Ragged, states: Mapping[str, str]
) -> _Pooled:
    """Adds a pooling of the steps so far, see `layers.add_pooling`; returns the result and the new states."""
    if pooling.how == "attention":
        return _add_attention(graph, pooling, output, ragged, states)
    if pooling.how not in ("mean", "max"):
        return add_pooling(graph, pooling, output, last, ragged), {}
    steps = graph.op("Add", states[STEPS], graph.cast(graph.unsqueeze(ragged.lengths, 1), np.float32))
    if pooling.how == "mean":
        total = graph.op("Add", states[SUM], graph.reduce("ReduceSum", output, 1))
        return graph.op("Div", total, graph.op("Max", steps, graph.const(1.0))), {SUM: total, STEPS: steps}
    top = graph.op(
        "Max", _known(graph, states, STEPS), graph.reduce("ReduceMax", masked(graph, output, ragged, LOWEST), 1)
    )
    top = graph.op("Where", _positive(graph, steps), top, graph.const(0.0))
    return top, {MAX: top, STEPS: steps}


def _add_attention(graph: Graph, pooling: Any, output: str, ragged: Ragged, states: Mapping[str, str]) -> _Pooled:
    scores = graph.linear(output, pooling.score.weight, pooling.score.bias, "pooling")
    before = _known(graph, states, WEIGHT)
    top = graph.op("Max", before, graph.reduce("ReduceMax", masked(graph, scores, ragged, LOWEST), 1))
    factor = graph.op("Exp", graph.op("Sub", before, top))
    weights = masked(graph, graph.op("Exp", graph.op("Sub", scores, graph.unsqueeze(top, 1))), ragged)
    weight = graph.op("Add", graph.op("Mul", states[WEIGHT], factor), graph.reduce("ReduceSum", weights, 1))
    new = graph.reduce("ReduceSum", graph.op("Mul", weights, output), 1)
    total = graph.op("Add", graph.op("Mul", states[SUM], factor), new)
    some = _positive(graph, weight)
    pooled = graph.op("Div", total, graph.op("Where", some, weight, graph.const(1.0)))
    return pooled, {MAX: graph.op("Where", some, top, graph.const(0.0)), WEIGHT: weight, SUM: total}


def _known(graph: Graph, states: Mapping[str, str], count: str) -> str:
    """Returns the largest value so far; the lowest number before the first step."""
    return graph.op("Where", _positive(graph, states[count]), states[MAX], graph.const(LOWEST))


def _positive(graph: Graph, value: str) -> str:
    return graph.op("Greater", value, graph.const(0.0))
