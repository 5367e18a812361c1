"""Memory that a C file needs while it runs: the members of the state, and the stack."""

from __future__ import annotations

from typing import NamedTuple

from .plan import Plan

CALLS = 250
"""Bytes of the stack for return addresses and variables that are no arrays."""


class Member(NamedTuple):
    """A member of the state.

    Attributes:
        declaration: in C; empty for the padding at the end.
        bytes: its size.
        text: description for people.
    """

    declaration: str
    bytes: int
    text: str


def state_members(plan: Plan) -> list[Member]:
    """Returns the members of the state of a sequence; those with the largest numbers are first."""
    if plan.forecasting is not None:
        inputs, context = len(plan.inputs), plan.forecasting.context
        time = [] if plan.forecasting.calendar is None else [Member("int64_t time", 8, "time of the next step")]
        window = Member(
            "float window[MODEL_CONTEXT * MODEL_INPUTS]", 4 * context * inputs, "scaled inputs of the last steps"
        )
        before = Member("float before[MODEL_INPUTS]", 4 * inputs, "last value of each input before the window")
        odd = time and (window.bytes + before.bytes) % 8
        return [*time, window, before, *([Member("", 4, "padding")] if odd else [])]
    units, layers = plan.units, len(plan.layers)
    found = {
        "mean": [Member("double sum[MODEL_UNITS]", 8 * units, "sum of the outputs of all steps")],
        "attention": [
            Member("double sum[MODEL_UNITS]", 8 * units, "weighted sum of the outputs of all steps"),
            Member("double total", 8, "sum of the weights"),
            Member("double top", 8, "greatest score of a step"),
        ],
    }.get(plan.pooling, [])
    memory = units + (plan.cells if plan.cell == "lstm" else 0)
    found.append(Member("model_memory memory", 4 * layers * memory, "states of the recurrent layers"))
    if plan.scaling is not None:
        inputs = len(plan.inputs)
        found.append(Member("float last[MODEL_INPUTS]", 4 * inputs, "last scaled value of each input"))
    if plan.pooling == "max":
        found.append(Member("float greatest[MODEL_UNITS]", 4 * units, "greatest outputs of all steps"))
        found.append(Member("uint32_t begun", 4, "1 after the first step"))
    if plan.pooling == "mean":
        found.append(Member("uint32_t steps", 4, "number of steps"))
    size = sum(member.bytes for member in found)
    if plan.pooling in ("mean", "attention") and size % 8:
        found.append(Member("", 8 - size % 8, "padding"))
    return found


def work_bytes(plan: Plan) -> int:
    """Returns an upper estimate of the stack that a step needs, without the functions of math.h."""
    next = 4 * (plan.cells if plan.cell == "lstm" else plan.units)
    if plan.forecasting is not None:
        own = plan.forecasting
        states = 2 if plan.cell == "lstm" else 1
        features = len(plan.inputs) - own.targets
        side = 0 if own.beside is None else own.beside.values.shape[1] + features
        side += 0 if own.calendar is None else own.calendar.ahead.values.shape[1]
        numbers = own.context + 2 * plan.units + own.read.weight.values.shape[1] + side + 1 + len(own.levels)
        return 4 * (numbers + 2 * states * len(plan.layers) * plan.units) + next + 2 * CALLS
    if plan.scaling is None:
        return next + CALLS
    missing = 4 * len(plan.inputs) if len(plan.scaling.masked) else 0
    pooled = 0 if plan.pooling == "last" else 4 * plan.units
    return 4 * plan.width + pooled + max(next, missing) + CALLS
