"""Lowers the graph of a step to the program that the C++ engine runs: places, instructions and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .adjoint import Adjoint
from .graph import LEAVES, NUMBERS, Graph, Node, ordered
from .trace import Traced

# in the order of `enum class Space` in csrc/engine/compiled/program.h
SPACES = (
    "scratch",
    "kept",
    "token",
    "before",
    "after",
    "param",
    "input",
    "grad",
    "dafter",
    "dbefore",
    "dinput",
    "dparam",
)
_NUMBER = {name: number for number, name in enumerate(SPACES)}


@dataclass
class Program:
    """Arguments of the C++ class `CompiledCell`; see csrc/engine/compiled/program.h."""

    places: list[tuple[int, int]] = field(default_factory=list)
    forward: list[tuple[int, ...]] = field(default_factory=list)
    backward: list[tuple[int, ...]] = field(default_factory=list)
    products: list[tuple[int, ...]] = field(default_factory=list)
    params: list[tuple[int, ...]] = field(default_factory=list)
    constants: list[tuple[float, int]] = field(default_factory=list)
    states: list[tuple[int, ...]] = field(default_factory=list)
    input: tuple[int, int, int, int] = (0, -1, -1, 1)
    weights: list[int] = field(default_factory=list)

    def place(self, space: str, width: int) -> int:
        self.places.append((_NUMBER[space], width))
        return len(self.places) - 1


@dataclass
class Lowered:
    """A program under construction. `home` has the place of each node that is stored beyond one routine."""

    traced: Traced
    program: Program = field(default_factory=Program)
    home: dict[Node, int] = field(default_factory=dict)

    def leaf(self, node: Node) -> int:
        """The place of a leaf that is not a state: a constant, a vector of weights, or the input."""
        if node not in self.home:
            place = self.home[node] = self.program.place("param", node.width)
            if node.op == "const":
                self.program.constants.append((node.info, place))
        return self.home[node]


class Routine:
    """Instructions in their order. Values that no other routine reads share places of scratch."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered, self.program = lowered, lowered.program
        self.home: dict[Node, int] = {}
        self.code: list[tuple[str, Any, tuple[Any, ...]]] = []
        self._blocks: dict[Node, tuple[Node, ...]] = {}

    def emit(self, op: str, to: Any, *args: Any) -> None:
        """Adds an instruction. `to` and `args` are nodes, numbers of places, or, for products, their number."""
        self.code.append((op, to, args))

    def block(self, nodes: tuple[Node, ...]) -> None:
        """Results of one product, which are consecutive places."""
        self._blocks.update(dict.fromkeys(nodes, nodes))

    def finish(self) -> list[tuple[int, ...]]:
        """Assigns places and returns the instructions."""
        last: dict[Node, int] = {}
        for i, (_, to, args) in enumerate(self.code):
            for value in (to, *args):
                if isinstance(value, Node):
                    for node in self._blocks.get(value, (value,)):
                        last[node] = i
        free: dict[tuple[int, ...], list[int]] = {}
        where: dict[Node, int] = {}
        found = []
        for i, (op, to, args) in enumerate(self.code):
            operands = [self._place(a, where) if isinstance(a, Node) else a for a in args]
            if op not in ("product", "product_back", "sum"):  # they read their operand after the first store
                self._release(i, args, last, where, free)
            target = self._target(to, where, free) if isinstance(to, Node) else to
            if op in ("product", "product_back", "sum"):
                self._release(i, args, last, where, free)
            found.append((NUMBERS[op], target, *operands, *[-1] * (3 - len(operands))))
        return found

    def _place(self, node: Node, where: dict[Node, int]) -> int:
        for places in (where, self.home, self.lowered.home):
            if node in places:
                return places[node]
        return self.lowered.leaf(node)

    def _target(self, node: Node, where: dict[Node, int], free: dict[tuple[int, ...], list[int]]) -> int:
        for places in (self.home, self.lowered.home, where):
            if node in places:
                return places[node]
        block = self._blocks.get(node, (node,))
        widths = tuple(n.width for n in block)
        if free.get(widths):
            first = free[widths].pop()
        else:
            first = [self.program.place("scratch", width) for width in widths][0]
        where.update({n: first + k for k, n in enumerate(block)})
        return where[node]

    def _release(
        self,
        i: int,
        args: Sequence[Any],
        last: dict[Node, int],
        where: dict[Node, int],
        free: dict[tuple[int, ...], list[int]],
    ) -> None:
        for node in dict.fromkeys(a for a in args if isinstance(a, Node)):
            block = self._blocks.get(node, (node,))
            if last[node] == i and node in where and all(last[n] <= i for n in block):
                widths = tuple(n.width for n in block)
                first = where[block[0]]
                if first not in free.setdefault(widths, []):
                    free[widths].append(first)


def lower(traced: Traced, adjoint: Adjoint | None) -> Program:
    """Returns the program of a cell: for inference, or with the values and instructions of the backward pass."""
    lowered = Lowered(traced)
    program, graph = lowered.program, traced.graph
    roots = [part for state in traced.states for part in state]
    order = ordered(roots)
    _place_states(lowered, training=adjoint is not None)
    _place_input(lowered, order)
    needed = _needed(order, adjoint, graph) if adjoint else set()
    places = _forward(lowered, order, roots, needed)
    gradients: dict[int, int] = {}
    if adjoint:
        gradients = _backward(lowered, order, adjoint)
    names = list(traced.weights)
    for number in places:
        product = graph.products[number]
        bias = (-1, 0) if product.bias is None else (names.index(product.bias[0]), product.bias[1])
        source = -1 if product.source is None else lowered.home.get(product.source, 0)
        shape = (product.first_row, product.segments, product.width, product.first_column, product.depth)
        tables = (*bias, places[number], source, gradients.get(number, -1))
        program.products.append((names.index(product.weight), product.columns, *shape, *tables, product.heads))
    _tables(lowered, adjoint)
    program.forward = _renumber(program.forward, list(places))
    program.backward = _renumber(program.backward, list(places))
    return program


def _renumber(code: list[tuple[int, ...]], products: list[int]) -> list[tuple[int, ...]]:
    """Replaces the numbers of products by their positions among those that are used."""
    ops = NUMBERS["product"], NUMBERS["product_back"]
    return [(op, to, a, products.index(b) if op in ops else b, c) for op, to, a, b, c in code]


def _place_states(lowered: Lowered, *, training: bool) -> None:
    traced, program = lowered.traced, lowered.program
    for number, size in enumerate(traced.state_sizes):
        widths = traced.graph.widths(size)
        found = []
        for space in ("before", "after", "dafter", "dbefore"):
            wanted = training or space in ("before", "after")
            found.append([program.place(space, width) for width in widths] if wanted else [-1])
        for k, place in enumerate(found[0]):
            node = traced.graph.node("before", width=widths[k], info=(number, sum(widths[:k])))
            lowered.home[node] = place
        program.states.append((*(places[0] for places in found), len(widths), widths[0]))


def _place_input(lowered: Lowered, order: list[Node]) -> None:
    """Gives the input a place if the step reads it outside of its products."""
    size, program = lowered.traced.input_size, lowered.program
    widths, first = lowered.traced.graph.widths(size), -1
    if any(node.op == "input" for node in order):
        first = [program.place("input", width) for width in widths][0]
        for k, width in enumerate(widths):
            node = lowered.traced.graph.node("input", width=width, info=("x", sum(widths[:k])))
            lowered.home[node] = first + k
    program.input = (size, first, -1, len(widths))


def _needed(order: Iterable[Node], adjoint: Adjoint, graph: Graph) -> set[Node]:
    """Computed values of the forward pass that the backward pass reads."""
    forward = set(order)
    computed = {n for n in forward if n.op not in (*LEAVES, "product")}
    found = {arg for node in _gradients(adjoint, forward) for arg in node.args if arg in computed}
    roots = _roots(adjoint)
    found |= {p.source for p in graph.products if p.source in computed}
    return found | {root for root in roots if root in computed}


def _roots(adjoint: Adjoint) -> list[Node]:
    products = [node for grads in adjoint.products.values() for node in grads if node is not None]
    return [*products, *adjoint.states.values(), *adjoint.inputs.values(), *adjoint.params.values()]


def _gradients(adjoint: Adjoint, forward: set[Node]) -> list[Node]:
    """The nodes that only the backward pass computes, in order."""
    known = (*LEAVES, "carry")
    return [node for node in ordered(_roots(adjoint)) if node not in forward and node.op not in known]


def _forward(lowered: Lowered, order: list[Node], roots: list[Node], needed: set[Node]) -> dict[int, int]:
    """Emits the forward pass. Returns the first place of the results of each product."""
    program, graph, routine = lowered.program, lowered.traced.graph, Routine(lowered)
    segments: dict[int, dict[int, Node]] = {}
    for node in order:
        if node.op == "segment":
            segments.setdefault(node.info[0], {})[node.info[1]] = node
    outputs: list[tuple[Node, int]] = []
    for state, (_, after, *_rest) in zip(lowered.traced.states, program.states, strict=True):
        outputs += [(node, after + k) for k, node in enumerate(state)]
    moved = []
    for node, place in outputs:
        alone = node.op == "segment" and graph.products[node.info[0]].segments == 1 and graph.products[node.info[0]].source
        if node in lowered.home or node.op in LEAVES or node.width == 0 or (node.op == "segment" and not alone):
            moved.append((node, place))
        else:
            lowered.home[node] = place
    fused = _fuse(order, needed | set(roots))
    skipped = {arg for node, args in fused.items() for arg in node.args if arg not in args}
    starts: dict[int, int] = {}
    for node in order:
        if node.op == "product":
            number = node.info
            product, used = graph.products[number], segments.get(number, {})
            if any(n in needed for n in used.values()) or product.source is None:
                space = "kept" if any(n in needed for n in used.values()) else "token"
                homed = [n for n in used.values() if n in lowered.home]
                first = lowered.home[homed[0]] if homed else None
                if first is None:
                    first = [program.place(space, product.width) for _ in range(product.segments)][0]
                    lowered.home.update({n: first + s for s, n in used.items()})
                starts[number] = first
            else:
                block = tuple(
                    used.get(s, graph.node("segment", node, info=(number, s))) for s in range(product.segments)
                )
                routine.block(block)
                starts[number] = -1
            if product.source is not None:
                target = segments.get(number, {}).get(0) or block[0]
                routine.emit("product", target if starts[number] < 0 else starts[number], product.source, number)
        elif node.op not in (*LEAVES, "segment") and node not in skipped:
            if node in needed and node not in lowered.home:
                lowered.home[node] = program.place("kept", node.width)
            args = fused.get(node)
            routine.emit(*(("fma", node, *args) if args else (node.op, node, *node.args)))
    for node, place in moved:
        routine.emit("move", place, node)
    program.forward = routine.finish()
    for op, target, _, number, _ in program.forward:
        if op == NUMBERS["product"]:
            starts[number] = target
    return starts


def _fuse(order: list[Node], fixed: set[Node]) -> dict[Node, tuple[Node, Node, Node]]:
    """Sums with a product that nothing else reads become one instruction: a * b + c."""
    uses = Counter(arg for node in order for arg in node.args)
    known = set(order)
    found: dict[Node, tuple[Node, Node, Node]] = {}
    for node in order:
        if node.op != "add":
            continue
        for one, other in (node.args, node.args[::-1]):
            if one.op == "mul" and one in known and uses[one] == 1 and one not in fixed:
                found[node] = (*one.args, other)  # type: ignore[assignment]
                break
    return found


def _backward(lowered: Lowered, order: list[Node], adjoint: Adjoint) -> dict[int, int]:
    """Emits the backward pass. Returns the first place of the gradients of each product."""
    program, graph, routine = lowered.program, lowered.traced.graph, Routine(lowered)
    own = _gradients(adjoint, set(order))
    for node in ordered(_roots(adjoint)):
        if node.op == "carry":
            number, begin = node.info
            _, _, dafter, _, _, width = program.states[number]
            routine.home[node] = dafter + begin // width
    wanted: list[tuple[Node, int]] = []  # values that are moved to a place at the end
    first, cleaned = _place_gradients(lowered, adjoint, own, routine)
    for number, (_, _, _, dbefore, count, width) in enumerate(program.states):
        for k in range(count):
            node = adjoint.states.get((number, k * width), graph.constant(0))
            _settle(node, dbefore + k, own, routine, wanted)
    if adjoint.inputs:
        widths = graph.widths(lowered.traced.input_size)
        places = [program.place("dinput", width) for width in widths]
        for k, place in enumerate(places):
            node = adjoint.inputs.get(sum(widths[:k]), graph.constant(0))
            _settle(node, place, own, routine, wanted)
        program.input = (program.input[0], program.input[1], places[0], program.input[3])
    fused = _fuse(own, {node for node, _ in wanted} | set(routine.home) | set(_roots(adjoint)))
    skipped = {arg for node, args in fused.items() for arg in node.args if arg not in args}
    done: set[int] = set()
    for node in own:
        if node.op == "back":
            _fill_gradients(node.info, first, adjoint, graph, routine, done)
            routine.emit("product_back", node, first[node.info], node.info)
        elif node not in skipped:
            args = fused.get(node)
            routine.emit(*(("fma", node, *args) if args else (node.op, node, *node.args)))
        if node in cleaned:
            routine.emit("clean", cleaned[node])
    for number in adjoint.products:
        _fill_gradients(number, first, adjoint, graph, routine, done)
    for node, place in wanted:
        routine.emit("move", place, node)
    for (name, begin), node in adjoint.params.items():
        width = graph.widths(lowered.traced.weights[name][0])[0]
        place = program.place("dparam", width)
        lowered.home[graph.node("dparam", width=width, info=(name, begin))] = place
        routine.emit("add_to", place, node)
    program.backward = routine.finish()
    return first


def _place_gradients(
    lowered: Lowered, adjoint: Adjoint, own: list[Node], routine: Routine
) -> tuple[dict[int, int], dict[Node, int]]:
    """Places for the gradients of products. Equal ones share a place; computed ones are written there directly."""
    program, graph = lowered.program, lowered.traced.graph
    first: dict[int, int] = {}
    known: dict[tuple[Any, ...], int] = {}
    cleaned: dict[Node, int] = {}
    computed = set(own)
    for number, grads in adjoint.products.items():
        key = (*map(id, grads), graph.products[number].width)
        if key not in known:
            width = graph.products[number].width
            places = [program.place("grad", width) for _ in grads]
            known[key] = places[0]
            for node, place in zip(grads, places, strict=True):
                if node in computed and node not in routine.home and node.width == width and node.op != "back":
                    routine.home[node] = cleaned[node] = place
        first[number] = known[key]
    return first, cleaned


def _fill_gradients(
    number: int, first: dict[int, int], adjoint: Adjoint, graph: Graph, routine: Routine, done: set[int]
) -> None:
    """Moves the gradients of a product that are computed elsewhere to its places."""
    if first[number] in done:
        return
    done.add(first[number])
    for k, node in enumerate(adjoint.products[number]):
        place = first[number] + k
        if node is None or routine.home.get(node) != place:
            routine.emit("move", place, graph.constant(0) if node is None else node)
            routine.emit("clean", place)


def _settle(
    node: Node, place: int, own: list[Node], routine: Routine, wanted: list[tuple[Node, int]]
) -> None:
    """Lets a value be computed at a place, or moved there if it has another place."""
    if node in routine.home or node.width == 0 or node not in own:
        wanted.append((node, place))
    else:
        routine.home[node] = place


def _tables(lowered: Lowered, adjoint: Adjoint | None) -> None:
    traced, program = lowered.traced, lowered.program
    graph, names = traced.graph, list(traced.weights)
    for node, place in list(lowered.home.items()):
        if node.op == "param":
            gradient = -1
            if adjoint and node.info in adjoint.params:
                gradient = lowered.home[graph.node("dparam", width=node.width, info=node.info)]
            program.params.append((names.index(node.info[0]), node.info[1], place, gradient))
    for shape in traced.weights.values():
        size = 1
        for n in shape:
            size *= n
        program.weights.append(size)
