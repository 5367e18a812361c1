"""Interface of the parts that write graphs: a graph, and how to compare it with its model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .graph import Graph
from .recurrence import Ragged, States

Arrays = dict[str, np.ndarray]


@dataclass
class Plan:
    """A complete graph.

    Attributes:
        graph: the graph, with its inputs and outputs.
        sample: returns random inputs by name.
        answer: returns what the model gives for some inputs, by name of the output. The second argument has the outputs
            of the graph, for those that are decoded from others.
        metadata: texts that are stored in the file.
        scale: size of an output by its name, where values near 0 have the error of larger ones; 1 for others.
    """

    graph: Graph
    sample: Callable[[np.random.Generator], Arrays]
    answer: Callable[[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Arrays]
    metadata: dict[str, str] = field(default_factory=dict)
    scale: dict[str, float] = field(default_factory=dict)


def add_lengths(graph: Graph) -> Ragged:
    """Adds the input `lengths`, `(batch,)`."""
    return Ragged.of(graph, graph.input("lengths", np.int64, ["batch"]))


def draw_lengths(rng: np.random.Generator) -> np.ndarray:
    """Returns lengths of a random ragged batch; some are 0."""
    lengths = rng.integers(0, rng.integers(2, 12), size=rng.integers(1, 5))
    if not lengths.any():
        lengths[0] = 1
    return lengths.astype(np.int64)


def add_states(graph: Graph, sizes: Mapping[str, int], count: int, batch: str) -> States:
    """Adds the optional inputs `state.hidden.0`, …, zeros by default.

    Args:
        graph: the graph.
        sizes: size of each state by name.
        count: layers times directions.
        batch: a value whose first axis is the batch.

    Returns:
        The states `(batch, size)`.
    """
    rows = graph.concat([graph.size(batch, 0), graph.const([1], np.int64)], 0)
    values: dict[str, list[str]] = {}
    for name, size in sizes.items():
        given = [
            graph.input(f"state.{name}.{at}", np.float32, ["batch", size], np.zeros((1, size), np.float32))
            for at in range(count)
        ]
        values[name] = [graph.op("Expand", value, rows) for value in given]
    return States(values)


def output_states(graph: Graph, states: States, sizes: Mapping[str, int]) -> None:
    """Adds the outputs `state.hidden.0.next`, … after the last step. Inputs and outputs cannot share a name."""
    for name, values in states.values.items():
        for at, value in enumerate(values):
            graph.output(f"state.{name}.{at}.next", value, np.float32, ["batch", sizes[name]])


def draw_states(rng: np.random.Generator, sizes: Mapping[str, int], count: int, batch: int) -> Arrays:
    """Returns random states by name of the input."""
    return {
        f"state.{name}.{at}": rng.normal(size=(batch, size), scale=0.5).astype(np.float32)
        for name, size in sizes.items()
        for at in range(count)
    }


def layer_state(feed: Mapping[str, np.ndarray], sizes: Mapping[str, int], count: int) -> Any:
    """Returns the states of a feed as a layer takes them: one tensor `(count, batch, size)`, a tuple, or None."""
    parts = [torch.from_numpy(np.stack([feed[f"state.{name}.{at}"] for at in range(count)])) for name in sizes]
    return tuple(parts) if len(parts) > 1 else parts[0] if parts else None


def named_states(states: Any, names: Iterable[str]) -> Arrays:
    """Returns the states of a layer by name of the output."""
    parts = states if isinstance(states, tuple) else (states,)
    return {
        f"state.{name}.{at}.next": value.float().cpu().numpy()
        for name, part in zip(names, parts, strict=True)
        for at, value in enumerate(part)
    }
