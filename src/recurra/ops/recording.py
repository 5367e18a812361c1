"""Runs a stack and returns every gate and state of every layer, direction, step and unit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.cells import State, Step

from . import reference
from .call import prepare
from .reference import Place, Watcher
from .registry import candidates
from .stack import Stack


class Record(NamedTuple):
    """Result of `record`.

    Attributes:
        output: as from `recurrence` with `batch_first`.
        last: final states, as from `recurrence`.
        arrays: for each name of a gate or state, `(layers, directions, batch, time, units)`; NaN beyond each length.
        engine: name of the engine that ran the stack.

    Example:
        >>> import torch
        >>> from recurra import cells, ops
        >>> stack = ops.Stack(cells.GRU(), 2, 3)
        >>> weights = [torch.randn(shape) for _, shape in stack.named_shapes()]
        >>> found = ops.record(stack, torch.randn(1, 4, 2), weights, engine="reference")
        >>> list(found.arrays), found.engine
        (['reset', 'update', 'candidate', 'hidden'], 'reference')
    """

    output: Tensor
    last: State
    arrays: dict[str, Tensor]
    engine: str


def record(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | Sequence[int] | None = None,
    states: State | None = None,
    *,
    names: Collection[str] | None = None,
    engine: str = "auto",
) -> Record:
    """Runs a stack without gradients and without dropout, and returns every gate and state.

    An engine that stores them for its backward pass returns them. If no engine does, the reference loop computes them.

    Args:
        stack: cell, sizes, layers and directions.
        values: `(batch, time, features)`.
        weights: flat, in the order of `stack.named_shapes()`.
        lengths: steps of each sequence, `(batch,)`; None when all are full.
        states: initial states, each `(layers * directions, batch, size)`; zeros when None.
        names: gates and states to return; None for all.
        engine: `"auto"`, or the name of one engine.

    Raises:
        ValueError: sizes or lengths do not fit.
        EngineError: no engine has the name.

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> from recurra.ops import Stack, record
        >>> stack = Stack(LSTM(), input_size=2, hidden_size=3)
        >>> weights = [torch.randn(shape) for _, shape in stack.named_shapes()]
        >>> tuple(record(stack, torch.randn(4, 5, 2), weights).arrays["forget"].shape)
        (1, 1, 4, 5, 3)
    """
    known = stack.inner_sizes
    wanted = {name: size for name, size in known.items() if names is None or name in names}
    with torch.no_grad():
        call, checked = prepare(stack, values, weights, lengths, states, batch_first=True)
        for candidate in candidates(engine):
            offer = getattr(candidate, "record", None)
            found = None if offer is None else offer(call, values, weights, checked, states, wanted)
            if found is not None:
                output, last, arrays = found
                return Record(output, last, arrays, candidate.name)
        notes = _Notes(stack, wanted)
        output, last = replay(stack, values, weights, checked, states, watcher=notes)
        return Record(output, last, notes.arrays(values, checked), reference.name)


def replay(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | Sequence[int] | None = None,
    states: State | None = None,
    *,
    watcher: Watcher,
) -> tuple[Tensor, State]:
    """Runs a stack with the reference engine. A watcher receives every step and may change gates and states.

    Args:
        stack: cell, sizes, layers and directions.
        values: `(batch, time, features)`.
        weights: flat, in the order of `stack.named_shapes()`.
        lengths: steps of each sequence, `(batch,)`; None when all are full.
        states: initial states, each `(layers * directions, batch, size)`; zeros when None.
        watcher: receives every step, in the order of computation: layer by layer, direction by direction.

    Returns:
        Output and final states as from `recurrence` with `batch_first`, with gradients if they are on.

    Raises:
        ValueError: sizes or lengths do not fit.
        TypeError: the watcher alters gates, and the step of the cell does not take `alter`.

    Example:
        >>> import torch
        >>> from recurra import cells, ops
        >>> class Printer:
        ...     alters = False
        ...     def stepped(self, place, step):
        ...         print(place.time, tuple(step.state[0].shape))
        ...         return step.state
        >>> stack = ops.Stack(cells.GRU(), 2, 3)
        >>> weights = [torch.randn(shape) for _, shape in stack.named_shapes()]
        >>> output, last = ops.replay(stack, torch.randn(4, 2, 2), weights, watcher=Printer())
        0 (4, 3)
        1 (4, 3)
    """
    call, checked = prepare(stack, values, weights, lengths, states, batch_first=True)
    return reference.run(call, values, weights, checked, states, watcher)


class _Notes:
    """A watcher that stores gates and states."""

    alters = False

    def __init__(self, stack: Stack, sizes: Mapping[str, int]) -> None:
        self.stack, self.sizes = stack, sizes
        self.seen: dict[tuple[str, Place], Tensor] = {}

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        """Never called."""
        return gate

    def stepped(self, place: Place, step: Step) -> State:
        """Stores gates and states."""
        for name, value in zip(self.stack.inner_sizes, (*step.gates, *step.state), strict=True):
            if name in self.sizes:
                self.seen[name, place] = value
        return step.state

    def arrays(self, values: Tensor, lengths: Tensor | None) -> dict[str, Tensor]:
        """Returns the stored values, NaN beyond each length."""
        batch, steps = values.shape[:2]
        beyond = None
        if lengths is not None:
            beyond = torch.arange(steps, device=values.device) >= lengths.to(values.device)[:, None]  # (batch, time)
        found = {}
        for name, size in self.sizes.items():
            array = values.new_empty(self.stack.num_layers, self.stack.directions, batch, steps, size)
            for layer, direction, time in (place for seen, place in self.seen if seen == name):
                array[layer, direction, :, time] = self.seen[name, Place(layer, direction, time)]
            found[name] = array if beyond is None else array.masked_fill(beyond[:, :, None], torch.nan)
        return found
