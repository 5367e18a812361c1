"""The graph of one time step: nodes for vectors over the units, and the products between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# in the order of `enum class Op` in csrc/engine/compiled/program.h
OPERATIONS = (
    "move",
    "add",
    "sub",
    "mul",
    "div",
    "fma",
    "neg",
    "sigmoid",
    "tanh",
    "relu",
    "exp",
    "log",
    "softplus",
    "sqrt",
    "abs",
    "sign",
    "min",
    "max",
    "greater",
    "where",
    "dsigmoid",
    "dtanh",
    "chosen",
    "sum",
    "add_to",
    "clean",
    "mask",
    "product",
    "product_back",
)
NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}

LEAVES = ("const", "param", "before", "input")
"""Nodes that are not computed: numbers, vectors of weights, previous states, and the input of the step."""


@dataclass(frozen=True, eq=False)
class Node:
    """One value of a step: a vector over some units, or a number that is equal for all units.

    Attributes:
        op: one of `OPERATIONS` or `LEAVES`; `"product"`, `"segment"` for one result of a product, `"back"` for the
            gradient of its source, `"carry"` for the gradient of a new state.
        args: the operands.
        width: units, 0 for a single number.
        info: the value of a constant, the name and first row of a weight, or numbers of states, masks and products.
    """

    op: str
    args: tuple[Node, ...]
    width: int
    info: Any = None


@dataclass
class Product:
    """Product of a value with rows and columns of a weight.

    Attributes:
        weight: name of the weight.
        columns: columns of the weight.
        first_row: first row that is used.
        segments: number of results.
        width: units of each result.
        first_column: first column that is used.
        depth: number of columns that are used, the width of the source.
        source: the value; None for the input of the step.
        bias: name and first row of a vector that is added, or None.
        heads: number of diagonal blocks of the matrix; 1 for a dense one. With blocks, `columns` is the width of one.
    """

    weight: str
    columns: int
    first_row: int
    segments: int
    width: int
    first_column: int
    depth: int
    source: Node | None
    bias: tuple[str, int] | None = None
    heads: int = 1


@dataclass
class Graph:
    """The nodes of a step. Equal nodes are one node.

    Attributes:
        hidden: units of a layer. Values whose width is a multiple of it are divided into segments of this width.
        products: the products, by number.
    """

    hidden: int
    products: list[Product] = field(default_factory=list)
    _known: dict[Any, Node] = field(default_factory=dict)

    def node(self, op: str, *args: Node, width: int | None = None, info: Any = None) -> Node:
        """Returns the node for an operation, with the width of its operands."""
        if width is None:
            width = max(arg.width for arg in args)
        key = (op, *map(id, args), width, info)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Node(op, args, width, info)
        return found

    def constant(self, value: float) -> Node:
        """Returns the node of a number."""
        return self.node("const", width=0, info=float(value))

    def product(self, product: Product) -> tuple[Node, ...]:
        """Adds a product, unless it is known, and returns its results."""
        number = next((i for i, known in enumerate(self.products) if known == product), len(self.products))
        if number == len(self.products):
            self.products.append(product)
        sources = () if product.source is None else (product.source,)
        whole = self.node("product", *sources, width=product.width, info=number)
        return tuple(self.node("segment", whole, info=(number, s)) for s in range(product.segments))

    def widths(self, total: int) -> tuple[int, ...]:
        """Returns the widths of the segments of a value."""
        if total % self.hidden == 0 and total:
            return (self.hidden,) * (total // self.hidden)
        return (total,)


def ordered(roots: list[Node]) -> list[Node]:
    """Returns the nodes that the roots need, each after its operands."""
    found: dict[Node, None] = {}
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, done = stack.pop()
        if node in found:
            continue
        if done:
            found[node] = None
            continue
        stack.append((node, True))
        stack.extend((arg, False) for arg in reversed(node.args) if arg not in found)
    return list(found)
