"""The readable engine: a loop over time in plain torch. Every other engine is tested against it.

Serves every cell, dtype, device and order of differentiation. Its cost follows the padded length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from recurra.cells import State, Step
from recurra.cells.checks import check_step

from .call_spec import CallSpec
from .stack import Stack

name = "reference"


class Place(NamedTuple):
    """Position of one step in a stack.

    Attributes:
        layer: counted from 0 at the input.
        direction: 0 forward, 1 backward in time.
        time: position in the sequence, in both directions counted from its beginning.

    Example:
        >>> Place(layer=0, direction=1, time=4)
        Place(layer=0, direction=1, time=4)
    """

    layer: int
    direction: int
    time: int


class Watcher(Protocol):
    """Receives every step of a run, and may change its gates and states; see `replay`.

    Example:
        >>> import torch
        >>> from recurra import cells, ops
        >>> class KeepOpen:
        ...     alters = True
        ...     def gate(self, place, name, gate):
        ...         return torch.ones_like(gate) if name == "update" else gate
        ...     def stepped(self, place, step):
        ...         return step.state
        >>> stack = ops.Stack(cells.GRU(), 2, 3)
        >>> weights = [torch.randn(shape) for _, shape in stack.named_shapes()]
        >>> output, _ = ops.replay(stack, torch.randn(1, 5, 2), weights, watcher=KeepOpen())
        >>> output.abs().max().item()  # the update gate keeps the initial state
        0.0
    """

    alters: bool
    """Whether the run calls `gate`."""

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        """Receives a gate `(batch, hidden)` as soon as it is computed; returns the values that the step uses."""
        ...

    def stepped(self, place: Place, step: Step) -> State:
        """Receives a completed step; returns the states `(batch, size)` for the next one."""
        ...


def refuses(call: CallSpec) -> str | None:
    """Returns None: this engine serves every call."""
    return None


def run(
    call: CallSpec,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    states: State | None,
    watcher: Watcher | None = None,
):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes."""
    states = call.zeros(values) if states is None else states
    stack = call.stack
    x = values.transpose(0, 1) if call.batch_first else values  # (time, batch, features)
    active = None
    if lengths is not None:
        steps = torch.arange(x.shape[0], device=x.device)
        active = (steps[:, None] < lengths.to(x.device)).unsqueeze(-1)  # (time, batch, 1)
        # padding may hold anything, NaN too: 0 * NaN would reach the weights' gradients
        x = x.masked_fill(~active, 0)
    final: list[State] = []
    groups = stack.split(weights)
    for layer in range(stack.num_layers):
        if layer > 0 and call.training and call.dropout > 0:
            x = F.dropout(x, call.dropout)
        outputs = []
        for direction in range(stack.directions):
            index = layer * stack.directions + direction
            initial = tuple(s[index] for s in states)
            masks = _masks(call, x)
            output, last = _scan(stack, x, initial, groups[index], masks, active, layer, direction, watcher)
            outputs.append(output)
            final.append(last)
        x = torch.cat(outputs, dim=-1)
    output = x.transpose(0, 1) if call.batch_first else x
    return output, tuple(torch.stack(s) for s in zip(*final, strict=True))


def _masks(call: CallSpec, x: Tensor) -> dict[str, Tensor]:
    """The masks of one layer in one direction: `(batch, width)`, or `(time, batch, width)`."""
    found = {}
    for name, mask in call.masks.items():
        shape = (call.batch, call.steps, mask.width) if mask.per_step else (call.batch, mask.width)
        values = call.draws.mask(shape, mask.dropped, x)  # type: ignore[union-attr]
        found[name] = values.transpose(0, 1) if mask.per_step else values
    return found


def _scan(
    stack: Stack,
    x: Tensor,
    state: State,
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    active: Tensor | None,
    layer: int,
    direction: int,
    watcher: Watcher | None,
) -> tuple[Tensor, State]:
    """Runs one layer in one direction. Beyond the length of a sequence, its state stays and its output is 0."""
    steps = range(x.shape[0])
    outputs: list[Tensor] = [x.new_empty(0)] * len(steps)
    for t in reversed(steps) if direction else steps:
        if masks:
            weights = {**weights, **{name: m[t] if m.dim() == 3 else m for name, m in masks.items()}}
        new = _step(stack, x[t], state, weights, Place(layer, direction, t), watcher)
        if active is None:
            state, outputs[t] = new, new[0]
        else:
            state = tuple(torch.where(active[t], n, s) for n, s in zip(new, state, strict=True))
            outputs[t] = new[0].masked_fill(~active[t], 0)
    empty = x.new_empty(0, x.shape[1], state[0].shape[-1])
    return torch.stack(outputs) if outputs else empty, state


def _step(
    stack: Stack, x: Tensor, state: State, weights: Mapping[str, Tensor], place: Place, watcher: Watcher | None
) -> State:
    alter = () if watcher is None or not watcher.alters else (partial(watcher.gate, place),)
    step = stack.cell.step(x, state, weights, *alter)
    if place.time == 0 and not torch._C._get_tracing_state():
        check_step(stack.cell, step, state, stack.hidden_size)
    return step.state if watcher is None else watcher.stepped(place, step)
