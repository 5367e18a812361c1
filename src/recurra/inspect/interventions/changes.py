"""Changes of gates and states during a run: units, steps and values."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.cells import State, Step
from recurra.errors import UsageError
from recurra.inspect.core.layers import DIRECTIONS, LayerCall
from recurra.ops import Stack
from recurra.ops.reference import Place

if TYPE_CHECKING:
    import xarray

    from recurra.inspect.core.trace import Trace

Steps = int | slice | Sequence[int] | None
"""Steps of a sequence; negative ones count from the end of the sequence. None for all."""
Units = int | slice | Sequence[int] | None
"""Numbers of units; None for all."""


@dataclass(frozen=True)
class Change:
    """A change of a gate or state; `clamp`, `ablate` and `patch` create it.

    Attributes:
        name: gate or state, such as `"forget"` or `"hidden"`.
        value: a number, one number for each chosen unit, or a trace.
        units: numbers of the units.
        time: steps.
        layer: number of the layer, from 0; None for all.
        direction: `"forward"` or `"backward"`; None for both.
        part: name of the recurrent layer in a model with several.
        mean: True to use the mean of the trace over sequences and steps.

    Example:
        >>> from recurra.inspect import clamp
        >>> change = clamp("forget", 1.0, units=[3])
        >>> change.name, change.value, change.units, change.layer
        ('forget', 1.0, [3], None)
    """

    name: str
    value: Any
    units: Units = None
    time: Steps = None
    layer: int | None = None
    direction: str | None = None
    part: str | None = None
    mean: bool = False


def clamp(name: str, value: float | Sequence[float] | Tensor, **where: Any) -> Change:
    """Fixes a gate or state at a value.

    Args:
        name: gate or state, such as `"forget"`.
        value: a number, or one for each chosen unit.
        **where: `units`, `time`, `layer`, `direction`, `part` as in `Change`.

    Example:
        >>> from recurra.inspect import clamp
        >>> clamp("forget", 1.0, layer=0, units=[3], time=slice(5, None)).units
        [3]
    """
    return Change(name, value, **where)


def ablate(name: str = "hidden", mean_of: Trace | None = None, **where: Any) -> Change:
    """Removes the information of a gate or state: sets it to 0, or sets each unit to its mean over a trace.

    Args:
        name: gate or state.
        mean_of: a trace of the same model on a corpus; None for 0.
        **where: `units`, `time`, `layer`, `direction`, `part` as in `Change`.

    Example:
        >>> import torch, recurra
        >>> from recurra.inspect import ablate, intervene
        >>> layer, x = torch.nn.GRU(2, 4, batch_first=True), torch.randn(1, 9, 2)
        >>> intervene(layer, x, [ablate()]).score_after.tolist()
        [0.0]
        >>> ablate(mean_of=recurra.trace(layer, x)).mean
        True
    """
    return Change(name, 0.0 if mean_of is None else mean_of, mean=mean_of is not None, **where)


def patch(name: str, trace: Trace, **where: Any) -> Change:
    """Replaces a gate or state with its values in another run.

    Args:
        name: gate or state.
        trace: a trace of the same model, on one sequence or on as many as in this run.
        **where: `units`, `time`, `layer`, `direction`, `part` as in `Change`.

    Example:
        >>> import torch, recurra
        >>> from recurra.inspect import intervene, patch
        >>> layer, x, other = torch.nn.GRU(2, 4, batch_first=True), torch.randn(1, 9, 2), torch.randn(1, 9, 2)
        >>> effect = intervene(layer, x, [patch("hidden", recurra.trace(layer, other))])
        >>> torch.allclose(torch.tensor(effect.score_after), layer(other)[0][:, -1].sum(1), atol=1e-5)
        True
    """
    return Change(name, trace, **where)


class InterventionHook:
    """A hook of `ops.replay` that applies changes.

    Args:
        call: the call that is replayed.
        changes: the changes of this layer, checked by `check`.
    """

    def __init__(self, call: LayerCall, changes: Iterable[Change]) -> None:
        gates = call.stack.cell.gates
        states = call.stack.cell.states
        self.states = states
        self.applied: dict[str, list[_AppliedChange]] = {name: [] for name in (*gates, *states)}
        for change in changes:
            self.applied[change.name].append(_AppliedChange(call, change))
        self.alters = any(self.applied[name] for name in gates)

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        """Returns a gate with its changes."""
        for made in self.applied[name]:
            gate = made.at(place, gate)
        return gate

    def stepped(self, place: Place, step: Step) -> State:
        """Returns the states with their changes."""
        return tuple(self.gate(place, name, state) for name, state in zip(self.states, step.state, strict=True))


class _AppliedChange:
    """A change with its tensors."""

    def __init__(self, call: LayerCall, change: Change) -> None:
        values, stack = call.values, call.stack
        batch, steps = values.shape[:2]
        size = stack.inner_sizes[change.name]
        lengths = [steps] * batch if call.lengths is None else call.lengths.tolist()
        units = _units(change.units, size, change.name)
        self.layers = range(stack.num_layers) if change.layer is None else (change.layer,)
        self.directions = range(stack.directions)
        if change.direction is not None:
            self.directions = (DIRECTIONS.index(change.direction),)
        self.steps = _chosen(change.time, lengths, steps).to(values.device)  # (batch, time)
        self.units = torch.zeros(size, dtype=torch.bool, device=values.device)
        self.units[units] = True
        self.any = [bool(b) for b in self.steps.any(0).tolist()]
        self.values = self._values(call, change, units, size)

    def at(self, place: Place, value: Tensor) -> Tensor:
        if place.layer not in self.layers or place.direction not in self.directions or not self.any[place.time]:
            return value
        chosen = self.steps[:, place.time, None] & self.units
        return torch.where(chosen, self.values[place.layer, place.direction, :, place.time], value)

    def _values(self, call: LayerCall, change: Change, units: list[int], size: int) -> Tensor:
        """Returns values that broadcast to `(layers, directions, batch, time, units)`."""
        stack, values = call.stack, call.values
        shape = (stack.num_layers, stack.directions, *values.shape[:2], size)
        if hasattr(change.value, "parts"):
            found = self._traced(call, change, shape)
            needed = self.units & self.steps[:, :, None]
            missing = found[list(self.layers)][:, list(self.directions)].isnan() & needed
            if missing.any():
                at = missing.nonzero()[0].tolist()
                raise UsageError(
                    f"the trace holds no {change.name!r} of sequence {at[2]}, step {at[3]}, unit {at[4]}; choose "
                    "units= and time= that it holds"
                )
            return found
        given = torch.as_tensor(change.value, dtype=values.dtype, device=values.device)
        if given.dim() > 1 or (given.dim() == 1 and len(given) != len(units)):
            raise UsageError(
                f"{change.name!r} is set to a number, or to one for each of the {len(units)} chosen units; got a shape "
                f"of {tuple(given.shape)}"
            )
        row = values.new_zeros(size)
        row[units] = given
        return row.expand(shape)

    def _traced(self, call: LayerCall, change: Change, shape: tuple[int, ...]) -> Tensor:
        array = _array(change, call)
        last = array.dims[-1]
        array = array.reindex({last: range(shape[4])}) if last in array.coords else array
        if change.mean:
            array = array.mean(("batch", "time"), skipna=True).expand_dims(batch=1, time=1, axis=(2, 3))
        else:
            array = array.reindex(time=range(shape[3]))
        found = torch.as_tensor(array.values, dtype=call.values.dtype, device=call.values.device)
        if found.shape[:2] != shape[:2] or found.shape[4] != shape[4] or found.shape[2] not in (1, shape[2]):
            raise UsageError(
                f"the trace of {change.name!r} has {_sizes(found.shape)}, this run has {_sizes(shape)}; give a trace "
                "of the same model, on one sequence or on as many"
            )
        return found.expand(shape)


def check(changes: Sequence[Change], stacks: dict[str, Stack]) -> dict[str, list[Change]]:
    """Groups changes by recurrent layer.

    Raises:
        UsageError: a change does not apply to any layer of the model.
    """
    found: dict[str, list[Change]] = {}
    for change in changes:
        if not isinstance(change, Change):
            raise UsageError(f"changes are created by clamp, ablate and patch; got {type(change).__name__}")
        part = part_of(change.part, list(stacks))
        _fits(change, stacks[part])
        found.setdefault(part, []).append(change)
    return found


def part_of(part: str | None, names: list[str]) -> str:
    """Returns the name of the selected recurrent layer."""
    if part is None and len(names) == 1:
        return names[0]
    listed = ", ".join(map(repr, names))
    if part is None:
        raise UsageError(f"the model has several recurrent layers, {listed}; choose one with part=")
    if part not in names:
        raise UsageError(f"the model has no recurrent layer {part!r}; it has {listed}")
    return part


def _fits(change: Change, stack: Stack) -> None:
    sizes = stack.inner_sizes
    if change.name not in sizes:
        raise UsageError(f"there is no {change.name!r} in a {stack.cell.name}; there are {', '.join(map(repr, sizes))}")
    if change.layer is not None and not 0 <= change.layer < stack.num_layers:
        raise UsageError(f"layer must be between 0 and {stack.num_layers - 1}, got {change.layer}")
    if change.direction is not None and change.direction not in DIRECTIONS[: stack.directions]:
        known = ", ".join(map(repr, DIRECTIONS[: stack.directions]))
        raise UsageError(f"direction is one of {known}, not {change.direction!r}")
    _units(change.units, sizes[change.name], change.name)
    if change.name in stack.cell.gates and not takes_alter(stack):
        raise UsageError(
            f"the step of the cell {stack.cell.name!r} takes no argument `alter`, so its gates cannot be changed; its "
            f"states can: {', '.join(map(repr, stack.cell.states))}"
        )


def takes_alter(stack: Stack) -> bool:
    """Returns whether the gates of the cell can be changed."""
    parameters = inspect.signature(stack.cell.step).parameters.values()
    return any(p.name == "alter" or p.kind is p.VAR_KEYWORD for p in parameters)


def _units(units: Units, size: int, name: str) -> list[int]:
    if units is None:
        return list(range(size))
    if isinstance(units, slice):
        return list(range(size)[units])
    found = [int(u) for u in ([units] if isinstance(units, int) else units)]
    wrong = [u for u in found if not 0 <= u < size]
    if wrong:
        raise UsageError(f"{name!r} has units 0 to {size - 1}, not {wrong[0]}")
    return found


def _chosen(time: Steps, lengths: list[int], steps: int) -> Tensor:
    """Mask of the selected steps, `(batch, time)`."""
    found = torch.zeros(len(lengths), steps, dtype=torch.bool)
    for row, length in zip(found, lengths, strict=True):
        if time is None or isinstance(time, slice):
            at: list[int] = list(range(length)[slice(None) if time is None else time])
        else:
            at = [t for t in ([time] if isinstance(time, int) else time) if -length <= t < length]
        row[[t % length for t in at] if length else []] = True
    if time is not None and not found.any():
        raise UsageError(f"time={time} selects none of the {steps} steps")
    return found


def _array(change: Change, call: LayerCall) -> xarray.DataArray:
    parts = change.value.parts
    data = parts.get(call.name) if len(parts) > 1 or call.name in parts else next(iter(parts.values()))
    if data is None or change.name not in data.data_vars:
        raise UsageError(f"the trace holds no {change.name!r} of the layer {call.name!r}")
    return data[change.name]


def _sizes(shape: Sequence[int]) -> str:
    return f"{shape[0]} layers, {shape[1]} directions, {shape[2]} sequences and {shape[4]} units"
