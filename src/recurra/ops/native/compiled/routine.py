"""Programs of the C++ engine, and the assignment of places to the values of a routine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .graph import NUMBERS, Node
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
    "dtoken",
)
_NUMBER = {name: number for number, name in enumerate(SPACES)}

BEFORE, RECURRENT, AFTER = range(3)
"""Stages of a pass: for all tokens before the recurrence, step by step, and for all tokens afterwards."""


@dataclass
class Program:
    """Arguments of the C++ class `CompiledCell`; see csrc/engine/compiled/program.h."""

    places: list[tuple[int, int]] = field(default_factory=list)
    forward: list[tuple[int, ...]] = field(default_factory=list)
    backward: list[tuple[int, ...]] = field(default_factory=list)
    stages: tuple[int, int, int, int] = (0, 0, 0, 0)
    products: list[tuple[int, ...]] = field(default_factory=list)
    params: list[tuple[int, ...]] = field(default_factory=list)
    constants: list[tuple[float, int]] = field(default_factory=list)
    states: list[tuple[int, ...]] = field(default_factory=list)
    input: tuple[int, int, int, int] = (0, -1, -1, 1)
    weights: list[int] = field(default_factory=list)

    def place(self, space: str, width: int) -> int:
        """Adds a place and returns its number."""
        self.places.append((_NUMBER[space], width))
        return len(self.places) - 1

    def row(self, space: str, widths: Iterable[int]) -> int:
        """Adds consecutive places and returns the number of the first one."""
        first, *_ = (self.place(space, width) for width in widths)
        return first


@dataclass
class Lowered:
    """A program under construction.

    Attributes:
        traced: the graph of the cell.
        program: the program.
        home: place of each value that more than one routine reads.
    """

    traced: Traced
    program: Program = field(default_factory=Program)
    home: dict[Node, int] = field(default_factory=dict)

    def leaf(self, node: Node) -> int:
        """Returns the place of a constant or of a vector of weights."""
        if node not in self.home:
            place = self.home[node] = self.program.place("param", node.width)
            if node.op == "const":
                self.program.constants.append((node.info, place))
        return self.home[node]


@dataclass
class _Line:
    """An instruction whose values have no places yet."""

    stage: int
    op: str
    to: Node | int
    args: tuple[Node | int, ...]

    def nodes(self) -> list[Node]:
        return [value for value in (self.to, *self.args) if isinstance(value, Node)]


class Routine:
    """The instructions of a pass. Values that are read within one stage share places of scratch.

    Args:
        lowered: the program.
        token: the space of values that a later stage reads.
    """

    def __init__(self, lowered: Lowered, token: str) -> None:
        self.home: dict[Node, int] = {}
        self._lowered, self._program, self._token = lowered, lowered.program, token
        self._lines: list[_Line] = []
        self._blocks: dict[Node, tuple[Node, ...]] = {}
        self._where: dict[Node, int] = {}
        self._free: dict[tuple[int, ...], list[int]] = {}

    def emit(self, stage: int, op: str, to: Node | int, *args: Node | int) -> None:
        """Adds an instruction. Integers are places, or the number of a product."""
        self._lines.append(_Line(stage, op, to, args))

    def block(self, nodes: tuple[Node, ...]) -> None:
        """Makes values consecutive: the results of one product."""
        self._blocks.update(dict.fromkeys(nodes, nodes))

    def finish(self) -> tuple[list[tuple[int, ...]], int, int]:
        """Assigns places. Returns the instructions, and the first ones of the second and third stage."""
        self._lines.sort(key=lambda line: line.stage)
        self._store_between_stages()
        last = {n: i for i, line in enumerate(self._lines) for v in line.nodes() for n in self._blocks.get(v, (v,))}
        found = []
        for i, line in enumerate(self._lines):
            operands = [self._place(a) if isinstance(a, Node) else a for a in line.args]
            whole = line.op in ("product", "product_back", "sum")  # they read all of an operand before the first store
            if not whole:
                self._release(i, line.args, last)
            target = self._target(line.to) if isinstance(line.to, Node) else line.to
            if whole:
                self._release(i, line.args, last)
            found.append((NUMBERS[line.op], target, *operands, *[-1] * (3 - len(operands))))
        stages = [line.stage for line in self._lines]
        return found, stages.count(BEFORE), len(stages) - stages.count(AFTER)

    def _store_between_stages(self) -> None:
        made = {line.to: line.stage for line in self._lines if isinstance(line.to, Node)}
        for line in self._lines:
            for node in line.nodes():
                stored = node in self.home or node in self._lowered.home
                if made.get(node, line.stage) < line.stage and not stored:
                    self.home[node] = self._program.place(self._token, node.width)

    def _place(self, node: Node) -> int:
        for places in (self._where, self.home, self._lowered.home):
            if node in places:
                return places[node]
        return self._lowered.leaf(node)

    def _target(self, node: Node) -> int:
        for places in (self.home, self._lowered.home, self._where):
            if node in places:
                return places[node]
        block = self._blocks.get(node, (node,))
        widths = tuple(n.width for n in block)
        free = self._free.get(widths)
        first = free.pop() if free else self._program.row("scratch", widths)
        self._where.update({n: first + k for k, n in enumerate(block)})
        return self._where[node]

    def _release(self, i: int, args: Sequence[Any], last: dict[Node, int]) -> None:
        for node in dict.fromkeys(a for a in args if isinstance(a, Node)):
            block = self._blocks.get(node, (node,))
            if node in self._where and all(last[n] <= i for n in block):
                free = self._free.setdefault(tuple(n.width for n in block), [])
                if self._where[block[0]] not in free:
                    free.append(self._where[block[0]])


def fuse(order: list[Node], fixed: set[Node]) -> tuple[dict[Node, tuple[Node, Node, Node]], set[Node]]:
    """Makes one instruction of a sum and a product that nothing else reads: a * b + c.

    Returns:
        The operands of each sum, and the products that then need no instruction.
    """
    uses = Counter(arg for node in order for arg in node.args)
    known = set(order)
    found: dict[Node, tuple[Node, Node, Node]] = {}
    skipped: set[Node] = set()
    for node in order:
        for one, other in (node.args, node.args[::-1]) if node.op == "add" else ():
            if one.op == "mul" and one in known and uses[one] == 1 and one not in fixed:
                found[node] = (one.args[0], one.args[1], other)
                skipped.add(one)
                break
    return found, skipped


def depending(order: list[Node], on: Callable[[Node], bool]) -> set[Node]:
    """Returns the nodes for which `on` is true, and all that depend on them."""
    found: set[Node] = set()
    for node in order:
        if on(node) or any(arg in found for arg in node.args):
            found.add(node)
    return found
