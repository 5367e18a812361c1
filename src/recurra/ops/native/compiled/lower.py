"""Lowers the graph of a step to the program that the C++ engine runs."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from .adjoint import Adjoint
from .graph import LEAVES, NUMBERS, Graph, Node, ordered
from .lower_backward import gradients_of, lower_backward, roots_of
from .routine import BEFORE, RECURRENT, Lowered, Program, Routine, depending, fuse
from .trace import Traced


def lower(traced: Traced, adjoint: Adjoint | None) -> Program:
    """Returns the program of a cell: for inference, or with the values and instructions of the backward pass."""
    lowered = Lowered(traced)
    program = lowered.program
    order = ordered([part for state in traced.states for part in state])
    _place_states(lowered, training=adjoint is not None)
    _place_input(lowered, order)
    needed = _needed(order, adjoint, traced.graph) if adjoint else set()
    results, *stages = _forward(lowered, order, needed)
    gradients: dict[int, int] = {}
    if adjoint:
        gradients, *more = lower_backward(lowered, order, adjoint)
        stages += more
    program.stages = (*stages, 0, 0)[:4]  # type: ignore[assignment]
    _add_products(lowered, results, gradients)
    _add_params(lowered, adjoint)
    program.weights = [prod(shape) for shape in traced.weights.values()]
    return program


def _place_states(lowered: Lowered, *, training: bool) -> None:
    traced, program = lowered.traced, lowered.program
    for number, size in enumerate(traced.state_sizes):
        widths = traced.graph.widths(size)
        first = [program.row(space, widths) for space in ("before", "after")]
        first += [program.row(space, widths) if training else -1 for space in ("dafter", "dbefore")]
        for k, width in enumerate(widths):
            node = traced.graph.node("before", width=width, info=(number, sum(widths[:k])))
            lowered.home[node] = first[0] + k
        program.states.append((*first, len(widths), widths[0]))


def _place_input(lowered: Lowered, order: list[Node]) -> None:
    """Gives the input a place if the step reads it outside of its products."""
    size, graph = lowered.traced.input_size, lowered.traced.graph
    widths, first = graph.widths(size), -1
    if any(node.op == "input" for node in order):
        first = lowered.program.row("input", widths)
        for k, width in enumerate(widths):
            lowered.home[graph.node("input", width=width, info=("x", sum(widths[:k])))] = first + k
    lowered.program.input = (size, first, -1, len(widths))


def _needed(order: Iterable[Node], adjoint: Adjoint, graph: Graph) -> set[Node]:
    """Computed values of the forward pass that the backward pass reads."""
    forward = set(order)
    computed = {n for n in forward if n.op not in (*LEAVES, "product")}
    found = {arg for node in gradients_of(adjoint, forward) for arg in node.args if arg in computed}
    found |= {p.source for p in graph.products if p.source in computed}
    return found | {root for root in roots_of(adjoint) if root in computed}


def _forward(lowered: Lowered, order: list[Node], needed: set[Node]) -> tuple[dict[int, int], int, int]:
    """Emits the forward pass. Returns the first place of the results of each product, and the stages."""
    program, traced = lowered.program, lowered.traced
    routine = Routine(lowered, "token")
    # products of other values than the input run step by step
    recurrent = depending(order, lambda node: node.op == "before" or (node.op == "product" and bool(node.args)))
    moved = _place_new_states(lowered, recurrent)
    roots = {part for state in traced.states for part in state}
    fused, skipped = fuse(order, needed | roots)
    results: dict[int, int] = {}
    for node in order:
        if node.op == "product":
            results[node.info] = _emit_product(lowered, routine, node, order, needed)
        elif node.op not in (*LEAVES, "segment") and node not in skipped:
            if node in needed and node not in lowered.home:
                lowered.home[node] = program.place("kept", node.width)
            op, args = ("fma", fused[node]) if node in fused else (node.op, node.args)
            if op == "mask":
                number, first = node.info
                args = (number, first, traced.masks[number].width * (1 if traced.masks[number].per_step else -1))
            routine.emit(RECURRENT if node in recurrent else BEFORE, op, node, *args)
    for node, place in moved:
        routine.emit(RECURRENT, "move", place, node)
    code, recurrent_from, after_from = routine.finish()
    results |= {number: target for op, target, _, number, _ in code if op == NUMBERS["product"]}
    program.forward = _renumber(code, list(results))
    return results, recurrent_from, after_from


def _place_new_states(lowered: Lowered, recurrent: set[Node]) -> list[tuple[Node, int]]:
    """Lets new states be computed where they are stored. Returns those that must be moved there."""
    graph, moved = lowered.traced.graph, []
    for state, (_, after, *_) in zip(lowered.traced.states, lowered.program.states, strict=True):
        for k, node in enumerate(state):
            shared = node.op == "segment" and graph.products[node.info[0]].segments > 1
            if node in lowered.home or node.op in LEAVES or node.width == 0 or shared or node not in recurrent:
                moved.append((node, after + k))
            else:
                lowered.home[node] = after + k
    return moved


def _emit_product(lowered: Lowered, routine: Routine, node: Node, order: list[Node], needed: set[Node]) -> int:
    """Emits a product and returns the first place of its results; -1 if it is assigned later."""
    graph, number = lowered.traced.graph, node.info
    product = graph.products[number]
    used = {n.info[1]: n for n in order if n.op == "segment" and n.info[0] == number}
    kept = any(n in needed for n in used.values())
    block = tuple(used.get(s, graph.node("segment", node, info=(number, s))) for s in range(product.segments))
    if product.source is None or kept:
        first = lowered.home.get(block[0])  # the only result may be a new state
        if first is None:
            first = lowered.program.row("kept" if kept else "token", [product.width] * product.segments)
            lowered.home.update({n: first + s for s, n in enumerate(block)})
        if product.source is not None:
            routine.emit(RECURRENT, "product", first, product.source, number)
        return first
    routine.block(block)
    routine.emit(RECURRENT, "product", block[0], product.source, number)
    return -1


def _renumber(code: list[tuple[int, ...]], products: list[int]) -> list[tuple[int, ...]]:
    """Replaces the numbers of products by their positions among those that are used."""
    ops = NUMBERS["product"], NUMBERS["product_back"]
    return [(op, to, a, products.index(b) if op in ops else b, c) for op, to, a, b, c in code]


def _add_products(lowered: Lowered, results: dict[int, int], gradients: dict[int, int]) -> None:
    program, names = lowered.program, list(lowered.traced.weights)
    program.backward = _renumber(program.backward, list(results))
    for number, result in results.items():
        product = lowered.traced.graph.products[number]
        bias = (-1, 0) if product.bias is None else (names.index(product.bias[0]), product.bias[1])
        source = -1 if product.source is None else lowered.home.get(product.source, 0)  # inference does not read it
        shape = (product.first_row, product.segments, product.width, product.first_column, product.depth)
        tables = (*bias, result, source, gradients.get(number, -1), product.heads)
        program.products.append((names.index(product.weight), product.columns, *shape, *tables))


def _add_params(lowered: Lowered, adjoint: Adjoint | None) -> None:
    names, graph = list(lowered.traced.weights), lowered.traced.graph
    for node, place in list(lowered.home.items()):
        if node.op == "param":
            gradient = graph.node("dparam", width=node.width, info=node.info)
            name, first = node.info
            lowered.program.params.append((names.index(name), first, place, lowered.home.get(gradient, -1)))
