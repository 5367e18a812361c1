"""Records selected units and steps of a long run. It needs memory for these and for one window of steps only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recurra.cells import State
from recurra.ops import Stack, record, recurrence

WINDOW_BYTES = 256 << 20
"""Memory in bytes above which a run is split into windows."""


@dataclass(frozen=True)
class Choice:
    """Selection of the values of a run to keep.

    Attributes:
        names: gates and states.
        units: numbers of the units, None for all.
        time: numbers of the steps, in increasing order.
    """

    names: Collection[str]
    units: Sequence[int] | None
    time: range

    def sizes(self, stack: Stack) -> dict[str, int]:
        """Returns for each gate and state how many values of a step are kept."""
        known = {name: size for name, size in stack.inner_sizes.items() if name in self.names}
        return known if self.units is None else dict.fromkeys(known, len(self.units))


Found = tuple[Tensor, State, dict[str, Tensor]]
"""Output `(batch, time, size)`, final states, and of each name `(layers, directions, batch, chosen time, units)`."""


def record_some(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    states: State | None,
    choice: Choice,
) -> Found:
    """Runs a stack and returns the selected values. Other values are discarded after each window."""
    batch, steps = values.shape[:2]
    size = sum(stack.inner_sizes.values()) * stack.num_layers * stack.directions * batch * values.element_size()
    if size * steps <= WINDOW_BYTES:
        found = record(stack, values, weights, lengths, states, names=choice.names)
        return found.output, found.last, {k: _cut(v, choice, choice.time) for k, v in found.arrays.items()}
    window = max(1, WINDOW_BYTES // size)
    if not stack.bidirectional:
        return _forward(stack, values, weights, lengths, states, choice, window)
    return _both(stack, values, weights, lengths, states, choice, window)


def _cut(array: Tensor, choice: Choice, time: range) -> Tensor:
    if time != range(array.shape[3]):
        array = array[:, :, :, time.start : time.stop : time.step]
    return array if choice.units is None else array[..., list(choice.units)]


def _empty(stack: Stack, values: Tensor, choice: Choice) -> dict[str, Tensor]:
    shape = (stack.num_layers, stack.directions, len(values), len(choice.time))
    return {name: values.new_full((*shape, size), torch.nan) for name, size in choice.sizes(stack).items()}


def _forward(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    states: State | None,
    choice: Choice,
    window: int,
) -> Found:
    """Runs one direction window by window; each window begins with the final states of the previous one."""
    arrays, outputs, wanted = _empty(stack, values, choice), [], choice.time
    for begin in range(0, values.shape[1], window):
        part = values[:, begin : begin + window]
        within = None if lengths is None else (lengths - begin).clamp(0, part.shape[1])
        first = max(0, -(-(begin - wanted.start) // wanted.step))  # index of the first selected step in this window
        last = max(first, min(len(wanted), -(-(begin + part.shape[1] - wanted.start) // wanted.step)))
        if first < last:
            found = record(stack, part, weights, within, states, names=choice.names)
            output, states = found.output, found.last
            time = range(wanted[first] - begin, wanted[last - 1] - begin + 1, wanted.step)
            for name, array in found.arrays.items():
                arrays[name][:, :, :, first:last] = _cut(array, choice, time)
        else:
            output, states = recurrence(stack, part, weights, within, states, batch_first=True)
        outputs.append(output)
    return torch.cat(outputs, 1), states or (), arrays


def _both(
    stack: Stack,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    states: State | None,
    choice: Choice,
    window: int,
) -> Found:
    """Runs two directions by sequence and layer; the backward direction runs on the reversed sequence."""
    arrays, groups = _empty(stack, values, choice), stack.split(weights)
    output = values.new_zeros(*values.shape[:2], stack.output_size)
    rows = stack.num_layers * stack.directions
    last = tuple(values.new_zeros(rows, len(values), size) for size in stack.state_sizes)
    for b in range(len(values)):
        steps = values.shape[1] if lengths is None else int(lengths[b])
        if not steps:  # the final states of an empty sequence are its initial states
            for to, state in zip(last, states or (), strict=False):
                to[:, b] = state[:, b]
            continue
        x = values[b : b + 1, :steps]
        time = choice.time[: len(range(choice.time.start, min(choice.time.stop, steps), choice.time.step))]
        mirrored = range(steps - 1 - time[-1], steps - time[0], time.step) if time else time
        for layer in range(stack.num_layers):
            one = Stack(stack.cell, x.shape[-1], stack.hidden_size, 1, False, stack.bias, stack.proj_size)
            outputs = []
            for direction, chosen in enumerate((time, mirrored)):
                index = layer * 2 + direction
                initial = None if states is None else tuple(s[index : index + 1, b : b + 1] for s in states)
                part = x.flip(1) if direction else x
                kept = Choice(choice.names, choice.units, chosen)
                found, final, inside = _forward(one, part, list(groups[index].values()), None, initial, kept, window)
                outputs.append(found.flip(1) if direction else found)
                for name, array in inside.items():
                    arrays[name][layer, direction, b, : len(time)] = (array.flip(3) if direction else array)[0, 0, 0]
                for to, state in zip(last, final, strict=True):
                    to[index, b] = state[0, 0]
            x = torch.cat(outputs, -1)
        output[b, :steps] = x[0]
    return output, last, arrays
