"""Checks of a cell of your own. Their messages name the line in its file."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from recurra._util.messages import counted
from recurra.errors import UsageError

from .base import Cell, Step


def check_declaration(cell: Cell) -> None:
    """Checks the names of gates and states.

    Raises:
        UsageError: they are missing, no tuple of different names, or `keeps` is none of the gates.
    """
    kind = type(cell)
    for what in ("gates", "states"):
        names = getattr(cell, what, None)
        if isinstance(names, str):
            raise UsageError(f"{place_of(kind)}{kind.__name__}.{what} is a text; write ({names!r},) for one name")
        if not isinstance(names, tuple) or not all(isinstance(name, str) and name for name in names):
            raise UsageError(f"{place_of(kind)}{kind.__name__} needs `{what}`, a tuple of names, not {names!r:.60}")
        if len({*names}) < len(names):
            raise UsageError(f"{place_of(kind)}{kind.__name__}.{what} has a name twice: {', '.join(names)}")
    if not cell.states:
        raise UsageError(f"{place_of(kind)}{kind.__name__} needs at least one state; the first is the output")
    if cell.keeps and cell.keeps not in cell.gates:
        raise UsageError(f"{place_of(kind)}{kind.__name__}.keeps is {cell.keeps!r:.60}, which is none of its gates")


def check_step(cell: Cell, step: Any, state: Sequence[Any], hidden_size: int) -> None:
    """Checks the result of a step.

    Args:
        cell: the cell.
        step: what its step returned.
        state: the states that it was given.
        hidden_size: number of units.

    Raises:
        UsageError: it is no `Step`, or a number or shape of its states or gates is wrong.
    """
    if not isinstance(step, Step):
        raise _fault(cell, f"{_kind(step)}; it must return Step(state, gates)")
    gate = (state[0].shape[0], hidden_size)
    for what, found, names, shapes in (
        ("state", step.state, cell.states, [tuple(before.shape) for before in state]),
        ("gate", step.gates, cell.gates, [gate] * len(cell.gates)),
    ):
        if not isinstance(found, tuple | list):
            raise _fault(cell, f"{_kind(found)} as {what}s; it must return a tuple, such as ({what},)")
        if len(found) != len(names):
            raise _fault(cell, f"{counted(len(found), what)}, but the cell has {_listed(names)}")
        for name, value, shape in zip(names, found, shapes, strict=True):
            if not hasattr(value, "shape"):
                raise _fault(cell, f"{_kind(value)} as the {what} {name!r}; it must be a tensor")
            if tuple(value.shape) != shape:
                given = tuple(value.shape)
                raise _fault(cell, f"the {what} {name!r} with the shape {given}; it must be {shape}")


def place_of(kind: type) -> str:
    """Returns `"FILE, line N: "` for the definition of a class; empty if it is unknown."""
    try:
        return f"{inspect.getsourcefile(kind)}, line {inspect.getsourcelines(kind)[1]}: "
    except (OSError, TypeError):
        return ""


def _fault(cell: Cell, returned: str) -> UsageError:
    """Returns the error for what a step returned."""
    step = type(cell).step
    return UsageError(f"{_return_of(step)}the step of {type(cell).__name__} returns {returned}")


def _return_of(function: Callable[..., Any]) -> str:
    """Returns the line of the only `return` of a function, else that of its beginning."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    ends = {each.positions.lineno for each in dis.get_instructions(code) if "RETURN" in each.opname and each.positions}
    return f"{code.co_filename}, line {ends.pop() if len(ends) == 1 else code.co_firstlineno}: "


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else "none"
