"""Lowers the gradients of a step to the instructions of the backward pass."""

from __future__ import annotations

from .adjoint import Adjoint
from .graph import LEAVES, Node, ordered
from .routine import AFTER, BEFORE, RECURRENT, Lowered, Routine, depending, fuse


def roots_of(adjoint: Adjoint) -> list[Node]:
    """Returns the gradients that the backward pass gives."""
    products = [node for grads in adjoint.products.values() for node in grads if node is not None]
    return [*products, *adjoint.states.values(), *adjoint.inputs.values(), *adjoint.params.values()]


def gradients_of(adjoint: Adjoint, forward: set[Node]) -> list[Node]:
    """Returns the nodes that only the backward pass computes, each after its operands."""
    known = (*LEAVES, "carry")
    return [node for node in ordered(roots_of(adjoint)) if node not in forward and node.op not in known]


def lower_backward(lowered: Lowered, order: list[Node], adjoint: Adjoint) -> tuple[dict[int, int], int, int]:
    """Emits the backward pass. Returns the first place of the gradients of each product, and the stages."""
    found = _Backward(lowered, order, adjoint)
    found.place_gradients()
    found.place_inputs_and_states()
    found.emit_all()
    code, recurrent, after = found.routine.finish()
    lowered.program.backward = code
    return found.first, recurrent, after


class _Backward:
    """The backward pass under construction.

    Attributes:
        routine: its instructions.
        first: first place of the gradients of each product.
    """

    def __init__(self, lowered: Lowered, order: list[Node], adjoint: Adjoint) -> None:
        self.lowered, self.adjoint, self.graph = lowered, adjoint, lowered.traced.graph
        self.routine = Routine(lowered, "dtoken")
        self.first: dict[int, int] = {}
        self.own = gradients_of(adjoint, set(order))
        everything = ordered(roots_of(adjoint))
        self._carried = depending(everything, lambda node: node.op in ("carry", "back"))
        # what the gradients of previous states depend on
        self._chain = set(ordered([*adjoint.states.values(), *(n for n in everything if n.op == "back")]))
        self._moves: list[tuple[Node, int]] = []
        self._cleaned: dict[Node, int] = {}
        self._saved: dict[Node, Node] = {}
        self._done: set[int] = set()
        for node in everything:
            if node.op == "carry":
                number, begin = node.info
                _, _, dafter, _, _, width = lowered.program.states[number]
                self.routine.home[node] = dafter + begin // width

    def stage(self, node: Node) -> int:
        if node not in self._carried:
            return BEFORE
        return RECURRENT if node in self._chain else AFTER

    def place_gradients(self) -> None:
        """Places for the gradients of products. Equal ones share a place; most are computed there."""
        known: dict[tuple[int, ...], int] = {}
        computed = set(self.own)
        for number, grads in self.adjoint.products.items():
            width = self.graph.products[number].width
            key = (width, *map(id, grads))
            if key not in known:
                known[key] = self.lowered.program.row("grad", [width] * len(grads))
                for k, node in enumerate(grads):
                    if node in computed and node not in self.routine.home and node.width == width and node.op != "back":
                        self.routine.home[node] = self._cleaned[node] = known[key] + k
            self.first[number] = known[key]

    def place_inputs_and_states(self) -> None:
        graph, program = self.graph, self.lowered.program
        read_later = {arg for node in self.own if self.stage(node) == AFTER for arg in node.args}
        for number, (_, _, _, dbefore, count, width) in enumerate(program.states):
            for k in range(count):
                node = self.adjoint.states.get((number, k * width), graph.constant(0))
                # the next step overwrites the place
                self._settle(node, dbefore + k, alone=node not in read_later and self.stage(node) == RECURRENT)
        if self.adjoint.inputs:
            widths = graph.widths(self.lowered.traced.input_size)
            first = program.row("dinput", widths)
            for k in range(len(widths)):
                self._settle(self.adjoint.inputs.get(sum(widths[:k]), graph.constant(0)), first + k)
            program.input = (*program.input[:2], first, program.input[3])

    def _settle(self, node: Node, place: int, *, alone: bool = True) -> None:
        """Lets a value be computed at a place, or moved there if it has another place."""
        if not alone or node in self.routine.home or node not in self.own:
            self._moves.append((node, place))
        else:
            self.routine.home[node] = place

    def emit_all(self) -> None:
        fixed = {node for node, _ in self._moves} | set(self.routine.home) | set(roots_of(self.adjoint))
        fused, skipped = fuse(self.own, fixed)
        for node in self.own:
            if node.op == "back":
                self._fill(node.info)
                self.routine.emit(RECURRENT, "product_back", node, self.first[node.info], node.info)
            elif node not in skipped:
                op, args = ("fma", fused[node]) if node in fused else (node.op, node.args)
                self._emit(self.stage(node), op, node, *args)
            if node in self._cleaned:
                self.routine.emit(self.stage(node), "clean", self._cleaned[node])
        for number in self.adjoint.products:
            self._fill(number)
        states = {place for state in self.lowered.program.states for place in range(state[3], state[3] + state[4])}
        for node, place in self._moves:
            self._emit(RECURRENT if place in states else self.stage(node), "move", place, node)
        for param, node in self.adjoint.params.items():
            place = self.lowered.program.place("dparam", param.width)
            self.lowered.home[self.graph.node("dparam", width=param.width, info=param.info)] = place
            self._emit(self.stage(node), "add_to", place, node)

    def _emit(self, stage: int, op: str, to: Node | int, *args: Node) -> None:
        """Emits an instruction. After the recurrence, the gradients of new states are read from copies."""
        if stage == AFTER:
            args = tuple(self._save(arg) if arg.op == "carry" else arg for arg in args)
        self.routine.emit(stage, op, to, *args)

    def _save(self, node: Node) -> Node:
        if node not in self._saved:
            self._saved[node] = self.graph.node("move", node)
            self.routine.emit(RECURRENT, "move", self._saved[node], node)
        return self._saved[node]

    def _fill(self, number: int) -> None:
        """Moves the gradients of a product that are computed elsewhere to its places."""
        if self.first[number] in self._done:
            return
        self._done.add(self.first[number])
        for k, node in enumerate(self.adjoint.products[number]):
            place, value = self.first[number] + k, self.graph.constant(0) if node is None else node
            if self.routine.home.get(value) != place:
                self._emit(self.stage(value), "move", place, value)
                self.routine.emit(self.stage(value), "clean", place)
