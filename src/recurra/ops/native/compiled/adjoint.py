"""Derives the program of the backward pass from the graph of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .graph import Graph, Node, ordered
from .trace import Traced


@dataclass
class Adjoint:
    """Gradients as nodes of the same graph; None where nothing depends on a value.

    Attributes:
        states: of the segments of each previous state.
        inputs: of the segments of the input, where the step reads the input itself.
        params: of the vectors of weights.
        products: of the results of each product.
    """

    states: dict[tuple[int, int], Node] = field(default_factory=dict)
    inputs: dict[int, Node] = field(default_factory=dict)
    params: dict[Node, Node] = field(default_factory=dict)
    products: dict[int, list[Node | None]] = field(default_factory=dict)


def differentiate(traced: Traced) -> Adjoint:
    """Returns the gradients of a step. The gradients of the new states are nodes `"carry"`."""
    graph, found = traced.graph, Adjoint()
    terms: dict[Node, list[Node]] = {}
    for number, state in enumerate(traced.states):
        begin = 0
        for part in state:
            width = part.width or traced.state_sizes[number] // len(state)
            terms.setdefault(part, []).append(graph.node("carry", width=width, info=(number, begin)))
            begin += width
    for node in reversed(ordered([part for state in traced.states for part in state])):
        if node.op == "product":
            _through_product(graph, node, found, terms)
            continue
        if node not in terms:
            continue
        grad = _sum(graph, terms.pop(node))
        if node.width == 0 and grad.width:
            grad = graph.node("sum", grad, width=0)
        if node.op == "segment":
            number, segment = node.info
            found.products.setdefault(number, [None] * graph.products[number].segments)[segment] = grad
        elif node.op == "before":
            found.states[node.info] = grad
        elif node.op == "input":
            found.inputs[node.info[1]] = grad
        elif node.op == "param":
            found.params[node] = grad
        elif node.op not in ("const", "mask"):
            for arg, term in zip(node.args, RULES[node.op](graph, node, grad), strict=True):
                if term is not None and arg.op not in ("const", "mask"):
                    terms.setdefault(arg, []).append(term)
    return found


def _through_product(graph: Graph, node: Node, found: Adjoint, terms: dict[Node, list[Node]]) -> None:
    grads, product = found.products.get(node.info), graph.products[node.info]
    if grads is None or product.source is None:
        return
    known = [graph.constant(0) if grad is None else grad for grad in grads]
    terms.setdefault(product.source, []).append(graph.node("back", *known, width=product.depth, info=node.info))


def _sum(graph: Graph, terms: list[Node]) -> Node:
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("add", total, term)
    return total


Rule = Callable[[Graph, Node, Node], tuple["Node | None", ...]]


def _mul(graph: Graph, node: Node, g: Node) -> tuple[Node, Node]:
    a, b = node.args
    return graph.node("mul", g, b), graph.node("mul", g, a)


def _div(graph: Graph, node: Node, g: Node) -> tuple[Node, Node]:
    _, b = node.args
    of_a = graph.node("div", g, b)
    return of_a, graph.node("neg", graph.node("mul", of_a, node))


def _chosen(graph: Graph, g: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """The gradients of two values of which the larger one is chosen."""
    return graph.node("chosen", g, a, b), graph.node("chosen", g, b, a)


def _where(graph: Graph, node: Node, g: Node) -> tuple[None, Node, Node]:
    condition, zero = node.args[0], graph.constant(0)
    return None, graph.node("where", condition, g, zero), graph.node("where", condition, zero, g)


RULES: dict[str, Rule] = {
    "move": lambda graph, node, g: (g,),
    "add": lambda graph, node, g: (g, g),
    "sub": lambda graph, node, g: (g, graph.node("neg", g)),
    "mul": _mul,
    "div": _div,
    "neg": lambda graph, node, g: (graph.node("neg", g),),
    "sigmoid": lambda graph, node, g: (graph.node("dsigmoid", g, node),),
    "tanh": lambda graph, node, g: (graph.node("dtanh", g, node),),
    "relu": lambda graph, node, g: (
        graph.node("where", graph.node("greater", node, graph.constant(0)), g, graph.constant(0)),
    ),
    "exp": lambda graph, node, g: (graph.node("mul", g, node),),
    "log": lambda graph, node, g: (graph.node("div", g, node.args[0]),),
    "softplus": lambda graph, node, g: (graph.node("mul", g, graph.node("sigmoid", node.args[0])),),
    "sqrt": lambda graph, node, g: (graph.node("div", graph.node("mul", g, graph.constant(0.5)), node),),
    "abs": lambda graph, node, g: (graph.node("mul", g, graph.node("sign", node.args[0])),),
    "min": lambda graph, node, g: _chosen(graph, g, *node.args[::-1]),
    "max": lambda graph, node, g: _chosen(graph, g, *node.args),
    "greater": lambda graph, node, g: (None, None),
    "where": _where,
    "sum": lambda graph, node, g: (g,),
}
