"""Traces the equations of a cell into a graph."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.cells import Cell, Mask, Step

from . import functions  # noqa: F401  (adds the operations of symbols)
from .graph import Graph, Node, ordered
from .symbols import CompileError, Matrix, Symbol, vector_of_weights


@dataclass(frozen=True)
class Traced:
    """The graph of a cell.

    Attributes:
        graph: the nodes and products.
        states: the segments of each new state.
        state_sizes: size of each state.
        input_size: features of the input.
        weights: shape of each weight, by name.
        masks: the masks, in the order of their numbers.
    """

    graph: Graph
    states: tuple[tuple[Node, ...], ...]
    state_sizes: tuple[int, ...]
    input_size: int
    weights: dict[str, tuple[int, ...]]
    masks: tuple[Mask, ...] = ()


def trace(
    cell: Cell,
    input_size: int,
    hidden_size: int,
    *,
    bias: bool,
    proj_size: int,
    masks: Mapping[str, Mask] | None = None,
) -> Traced:
    """Returns the graph of a cell's step, with the given masks.

    Raises:
        CompileError: the step has an operation that cannot be compiled. The message names it and its line.
    """
    shapes = cell.shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
    sizes = cell.state_sizes(hidden_size, proj_size=proj_size)
    graph = Graph(hidden_size)
    x = _leaves(graph, "input", input_size, "x", is_input=True)
    states = tuple(_leaves(graph, "before", size, number) for number, size in enumerate(sizes))
    weights: dict[str, Any] = {name: _weight(graph, name, shape) for name, shape in shapes.items()}
    masks = masks or {}
    weights |= {name: _leaves(graph, "mask", mask.width, i) for i, (name, mask) in enumerate(masks.items())}
    attributes = dict(vars(cell))
    try:
        step = cell.step(x, states, weights)  # type: ignore[arg-type]
        if vars(cell).keys() != attributes.keys() or any(vars(cell)[k] is not v for k, v in attributes.items()):
            raise CompileError("the step changes an attribute of the cell")
        found = _new_states(cell, step, sizes, hidden_size)
    except CompileError as error:
        raise CompileError(f"{error}{_line(error, cell)}") from None
    except Exception as error:
        raise CompileError(f"{type(error).__name__}: {error}{_line(error, cell)}") from None
    traced = Traced(graph, found, tuple(sizes), input_size, dict(shapes), tuple(masks.values()))
    _add_biases(traced)
    return traced


def _leaves(graph: Graph, op: str, size: int, name: str | int, *, is_input: bool = False) -> Symbol:
    widths = graph.widths(size)
    parts = [graph.node(op, width=width, info=(name, sum(widths[:i]))) for i, width in enumerate(widths)]
    return Symbol(graph, parts, size, is_input=is_input)


def _weight(graph: Graph, name: str, shape: tuple[int, ...]) -> Symbol | Matrix:
    if len(shape) == 1:
        return vector_of_weights(graph, name, 0, shape[0])
    if len(shape) == 2:
        return Matrix(graph, name, shape[1], (0, shape[0]), (0, shape[1]))
    raise CompileError(f"the weight {name!r} with {len(shape)} dimensions")


def _new_states(cell: Cell, step: Step, sizes: tuple[int, ...], hidden_size: int) -> tuple[tuple[Node, ...], ...]:
    if len(step.state) != len(sizes):
        raise CompileError(f"the step returns {len(step.state)} states, but the cell has {len(sizes)}")
    for name, state, size in zip(cell.states, step.state, sizes, strict=True):
        if not isinstance(state, Symbol) or state.width != size:
            raise CompileError(f"the new {name} state is not a value with {size} units")
    # the reference engine reports these faults
    if len(step.gates) != len(cell.gates) or any(getattr(gate, "width", 0) != hidden_size for gate in step.gates):
        raise CompileError("the step returns other gates than the cell has")
    return tuple(state.parts for state in step.state)  # type: ignore[attr-defined]


def _line(error: BaseException, cell: Cell) -> str:
    """The last line outside of this package, which is a line of the cell or of a function that it calls."""
    here = Path(__file__).parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent != here]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else f" (in {cell!r})"


def _add_biases(traced: Traced) -> None:
    """Lets products add the vectors of weights that are only added to their results."""
    graph = traced.graph
    roots = [part for state in traced.states for part in state]
    nodes = ordered(roots)
    uses = Counter(arg for node in nodes for arg in node.args) + Counter(roots)
    sums: dict[int, dict[int, tuple[Node, Node]]] = {}  # by product and segment: the sum and the vector
    for node in nodes:
        for one, other in (node.args, node.args[::-1]) if node.op == "add" else ():
            if one.op == "segment" and other.op == "param" and other.width == one.width and uses[one] == 1:
                number, segment = one.info
                sums.setdefault(number, {})[segment] = (node, other)
    replaced: dict[Node, Node] = {}
    for number, found in sums.items():
        product = graph.products[number]
        vectors = [found[s][1].info for s in range(product.segments) if s in found]
        together = all(info == (vectors[0][0], vectors[0][1] + i * product.width) for i, info in enumerate(vectors))
        if len(vectors) < product.segments or not together:
            continue
        product.bias = vectors[0]
        for segment, (node, _) in found.items():
            replaced[node] = next(arg for arg in node.args if arg.info == (number, segment))
    if replaced:
        _substitute(traced, replaced)


def _substitute(traced: Traced, replaced: dict[Node, Node]) -> None:
    graph = traced.graph
    new: dict[Node, Node] = {}
    for node in ordered([part for state in traced.states for part in state]):
        if node in replaced:
            new[node] = new[replaced[node]]
        else:
            args = [new[arg] for arg in node.args]
            new[node] = (
                node if args == list(node.args) else graph.node(node.op, *args, width=node.width, info=node.info)
            )
    for product in graph.products:
        if product.source is not None:
            product.source = new.get(product.source, product.source)
    object.__setattr__(traced, "states", tuple(tuple(new[part] for part in state) for state in traced.states))
