"""Runs of a model by layer and direction: inputs, states, and vector-Jacobian products of single steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from recurra.cells import Cell, State
from recurra.errors import DataError, UsageError
from recurra.ops import Stack, record
from recurra.tasks.subject import Subject

from .layers import DIRECTIONS, LayerCall, serving

MAX_BYTES = 2 << 30
"""Maximum size of the states of a run."""


@dataclass(frozen=True)
class DirectionRun:
    """One layer in one direction, with its steps in the order of the direction.

    In this order every sequence begins at index 0 in both directions, and padding is at the end.

    Attributes:
        stack: cell and sizes of this layer and direction only.
        weights: the weights by name, without gradients.
        inputs: `(time, batch, features)`, 0 in the padding.
        states: each `(time + 1, batch, size)`: entry `k` is the state before step `k`, 0 in the padding.
        lengths: steps of each sequence, `(batch,)`.
        order: position of step `k` in the sequence, `(time, batch)`.
        kept: values of the gate that keeps the state, `(time, batch, units)`, 1 in the padding; None if the cell has
            no such gate.
    """

    stack: Stack
    weights: Mapping[str, Tensor]
    inputs: Tensor
    states: State
    lengths: Tensor
    order: Tensor
    kept: Tensor | None

    @property
    def cell(self) -> Cell:
        """The cell."""
        return self.stack.cell

    @property
    def steps(self) -> int:
        """Steps of the longest sequence."""
        return int(self.inputs.shape[0])

    def before(self, step: int) -> State:
        """Returns the states before a step, each `(batch, size)`."""
        return tuple(s[step] for s in self.states)

    def only(self, rows: list[int]) -> DirectionRun:
        """Returns the run of some of the sequences."""
        return replace(
            self,
            inputs=self.inputs[:, rows],
            states=tuple(s[:, rows] for s in self.states),
            lengths=self.lengths[rows],
            order=self.order[:, rows],
            kept=None if self.kept is None else self.kept[:, rows],
        )

    def double(self) -> DirectionRun:
        """Returns the run in double precision."""
        return replace(
            self,
            weights={name: w.double() for name, w in self.weights.items()},
            inputs=self.inputs.double(),
            states=tuple(s.double() for s in self.states),
        )


@dataclass(frozen=True)
class LayerRun:
    """One call of a recurrent layer of a model.

    Attributes:
        part: name of the layer, as in `recurra.trace`.
        stack: cell, sizes, layers and directions.
        lengths: steps of each sequence, `(batch,)`.
        rows: numbers of these sequences in the batch.
        direction_runs: by layer, then by direction.
    """

    part: str
    stack: Stack
    lengths: Tensor
    rows: list[int]
    direction_runs: list[list[DirectionRun]]

    @property
    def steps(self) -> int:
        """Steps of the longest sequence."""
        return self.direction_runs[0][0].steps

    @property
    def coords(self) -> dict[str, Any]:
        """Coordinates of layers and directions."""
        return {"layer": range(self.stack.num_layers), "direction": list(DIRECTIONS[: self.stack.directions])}

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of a data set: the cell and the name of the layer."""
        return {"cell": self.stack.cell.name, "part": self.part}

    def some(self, most: int) -> LayerRun:
        """Returns the run of at most `most` sequences, evenly spaced."""
        if len(self.rows) <= most:
            return self
        at = spread(range(len(self.rows)), most)
        direction_runs = [[direction_run.only(at) for direction_run in layer] for layer in self.direction_runs]
        return replace(self, lengths=self.lengths[at], rows=[self.rows[i] for i in at], direction_runs=direction_runs)


def layer_runs(subject: Subject) -> list[LayerRun]:
    """Runs the model once and splits every call of its recurrent layers by layer and direction.

    Args:
        subject: the model and its inputs; empty sequences are left out.

    Raises:
        UsageError: there is no recurrent layer, or its states need too much memory.
        DataError: every sequence is empty.
    """
    runs: list[LayerRun] = []

    def serve(call: LayerCall) -> tuple[Tensor, State]:
        lengths = torch.full((len(call.values),), call.values.shape[1]) if call.lengths is None else call.lengths.cpu()
        chosen = lengths.nonzero().flatten().tolist()
        size = (sum(call.stack.state_sizes) + call.stack.hidden_size) * call.stack.num_layers * call.stack.directions
        total = size * len(chosen) * call.values.shape[1] * call.values.element_size()
        if total > MAX_BYTES:
            raise UsageError(
                f"the states of {len(chosen)} x {call.values.shape[1]:,} steps would take {total / 1e9:.1f} GB; "
                "give fewer or shorter sequences"
            )
        names = (*call.stack.cell.states, call.stack.cell.keeps)
        whole = record(call.stack, call.values, call.weights, call.lengths, call.states, names=names)
        if chosen:
            name = call.name if call.number == 0 else f"{call.name} (call {call.number + 1})"
            runs.append(_layer_run(name, call, whole.arrays, lengths, chosen))
        return whole.output, whole.last

    with torch.no_grad(), serving(subject.network, serve):
        subject.forward(subject.batch)
    if not runs:
        raise DataError("there is no step to inspect: every sequence is empty")
    return runs


def spread(items: Sequence[Any], most: int | None) -> list[Any]:
    """Selects at most `most` items, evenly spaced, including the last.

    Example:
        >>> spread(range(10), 4)
        [0, 3, 6, 9]
    """
    if most is None or len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _layer_run(name: str, call: LayerCall, arrays: Mapping[str, Tensor], lengths: Tensor, rows: list[int]) -> LayerRun:
    stack = call.stack
    lengths = lengths[rows]
    steps = int(lengths.max())
    device = call.values.device
    grid = torch.arange(steps).unsqueeze(1)  # (time, 1)
    beyond = (grid >= lengths).to(device)
    orders = [grid.expand(-1, len(rows)), torch.where(grid < lengths, lengths - 1 - grid, grid)]
    # 16-bit floats are too coarse for derivatives
    kind = torch.promote_types(call.values.dtype, torch.float32)
    groups = stack.split([w.detach().to(kind) for w in call.weights])
    x = _padded(call.values.detach()[rows, :steps].transpose(0, 1).to(kind), beyond)
    direction_runs: list[list[DirectionRun]] = []
    for layer in range(stack.num_layers):
        alone = Stack(stack.cell, x.shape[-1], stack.hidden_size, 1, False, stack.bias, stack.proj_size)
        direction_runs.append([])
        outputs = []
        for direction, order in enumerate(orders[: stack.directions]):
            index = layer * stack.directions + direction
            states = []
            for i, state in enumerate(stack.cell.states):
                seen = _padded(arrays[state][layer, direction][rows, :steps].transpose(0, 1).to(kind), beyond)
                first = seen.new_zeros(len(rows), seen.shape[-1])
                if call.states is not None:
                    first = call.states[i].detach()[index, rows].to(kind)
                states.append(torch.cat([first.unsqueeze(0), reorder(seen, order)]))
                if not bool(states[-1].isfinite().all()):
                    raise DataError(
                        f"the {state} state of layer {layer} is not finite: the weights or inputs contain NaN or "
                        "infinity, or the state overflowed"
                    )
                if i == 0:
                    outputs.append(seen)
            gate = arrays.get(stack.cell.keeps)
            if gate is not None:
                gate = gate[layer, direction][rows, :steps].transpose(0, 1).masked_fill(beyond.unsqueeze(-1), 1)
                gate = reorder(gate, order)
            direction_runs[-1].append(
                DirectionRun(alone, groups[index], reorder(x, order), tuple(states), lengths, order.to(device), gate)
            )
        x = torch.cat(outputs, -1)
    return LayerRun(name, stack, lengths, rows, direction_runs)


def reorder(values: Tensor, order: Tensor) -> Tensor:
    """Reorders the steps of each sequence: `(time, batch, …)` by an order `(time, batch)`.

    The order of a direction is self-inverse, so the same call restores the original order.
    """
    order = order.to(values.device)
    return values[order, torch.arange(values.shape[1], device=values.device)]


def _padded(values: Tensor, beyond: Tensor) -> Tensor:
    # padding may contain any value, including NaN
    return values.masked_fill(beyond.unsqueeze(-1), 0)


def vjp_step(run: DirectionRun, step: int, adjoint: State, *, inputs: bool = False) -> tuple[Tensor | None, State]:
    """Vector-Jacobian product of a step: converts gradients at the states after it to gradients at the states before.

    The step runs once for all gradients.

    Args:
        run: layer and direction.
        step: the step, in the order of the direction.
        adjoint: gradients with respect to the states after the step, each `(number, batch, size)`.
        inputs: True to compute the gradient with respect to the input as well.

    Returns:
        The gradients with respect to the input `(number, batch, features)`, None if not requested, and with respect
        to the states before the step.
    """
    refuse_inference_mode()
    with torch.enable_grad():
        x = run.inputs[step].detach().requires_grad_(inputs)
        before = tuple(s.detach().requires_grad_() for s in run.before(step))
        after = run.cell.step(x, before, run.weights).state
        wanted = (x, *before) if inputs else before
        pairs = [(a, g) for a, g in zip(after, adjoint, strict=True) if a.requires_grad]
        found = [None] * len(wanted)
        if pairs:
            outputs, seeds = zip(*pairs, strict=True)
            found = torch.autograd.grad(outputs, wanted, seeds, is_grads_batched=True, allow_unused=True)
    number = len(adjoint[0])
    found = [w.new_zeros(number, *w.shape) if f is None else f for f, w in zip(found, wanted, strict=True)]
    return (found[0], tuple(found[1:])) if inputs else (None, tuple(found))


def refuse_inference_mode() -> None:
    """Raises a UsageError in inference mode, in which torch computes no gradients and raises no error."""
    if torch.is_inference_mode_enabled():
        raise UsageError("gradients cannot be computed in torch.inference_mode(); make this call outside of it")


def jacobians(run: DirectionRun, step: int) -> Tensor:
    """Jacobian ∂(states after) / ∂(states before) of a step, with all states concatenated: `(batch, size, size)`."""
    sizes = [s.shape[-1] for s in run.states]
    batch, size = run.states[0].shape[1], sum(sizes)
    unit = torch.eye(size, dtype=run.inputs.dtype, device=run.inputs.device)
    adjoint = tuple(rows.unsqueeze(1).expand(-1, batch, -1) for rows in unit.split(sizes, 1))
    _, found = vjp_step(run, step, adjoint)
    return torch.cat(found, -1).transpose(0, 1)
