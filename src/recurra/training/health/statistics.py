"""What can be measured of recurrent layers: gates at their ends, dead units, bad numbers, spectral radii."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.cells import Cell, State
from recurra.ops import Stack, record

from .thresholds import DEAD_RANGE, SATURATED_SIGMOID, SATURATED_TANH

DIRECTIONS = ("forward", "backward")
OPEN_IS_HEALTHY = ("forget", "update")
"""Gates whose upper end is no illness: there a unit remembers."""


def place(part: str, layer: int, direction: int, unit: int | None = None) -> str:
    """A layer or a unit by its name.

    Example:
        >>> place("encoder.recurrent", 0, 1, 17)
        'encoder.recurrent/0/backward/17'
    """
    words = [*([part] if part else []), str(layer), DIRECTIONS[direction], *([] if unit is None else [str(unit)])]
    return "/".join(words)


class GateUse(NamedTuple):
    """How a gate of one layer and direction is used over some data.

    Attributes:
        part: name of the recurrent layer in the model.
        layer: counted from the input.
        direction: 0 forward, 1 backward.
        gate: name.
        low: share of its activations at the lower end.
        high: share at the upper end.
    """

    part: str
    layer: int
    direction: int
    gate: str
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of activations at an end where they do harm."""
        return self.low if self.gate in OPEN_IS_HEALTHY else self.low + self.high

    @property
    def where(self) -> str:
        """For people."""
        return f"{place(self.part, self.layer, self.direction)} {self.gate}"


class LayerUse(NamedTuple):
    """Share of saturated gate values of a layer and direction: the mean over its gates."""

    share: float
    where: str


def saturation(gates: Iterable[GateUse]) -> list[LayerUse]:
    """Takes the gates of each layer and direction together.

    Example:
        >>> saturation([GateUse("", 0, 0, "input", 0.5, 0.3), GateUse("", 0, 0, "forget", 0.2, 0.7)])
        [LayerUse(share=0.5, where='0/forward, most input')]
    """
    layers: dict[str, list[GateUse]] = {}
    for use in gates:
        layers.setdefault(place(use.part, use.layer, use.direction), []).append(use)
    return [
        LayerUse(sum(use.share for use in uses) / len(uses), f"{name}, most {max(uses, key=lambda u: u.share).gate}")
        for name, uses in layers.items()
    ]


class UnitUse(NamedTuple):
    """How many units of one layer and direction never change over some data."""

    part: str
    layer: int
    direction: int
    dead: list[int]
    units: int

    @property
    def share(self) -> float:
        """Of all units."""
        return len(self.dead) / self.units

    @property
    def where(self) -> str:
        """For people."""
        return place(self.part, self.layer, self.direction)


class Bad(NamedTuple):
    """The first number that is infinite or not a number.

    Attributes:
        number: how many there are.
        where: what, and where in it.
        value: `inf`, `-inf` or `nan`.
        row: of the batch, where the number belongs to one sequence.
    """

    number: int
    where: str
    value: float
    row: int | None = None


@dataclass
class Activity:
    """What the units of one recurrent layer do, gathered over any number of runs.

    Args:
        part: name of the layer in the model.
        stack: cell, sizes, layers and directions.
    """

    part: str
    stack: Stack
    bad: Bad | None = None
    _ends: dict[str, Tensor] = field(default_factory=dict)
    _tokens: int = 0
    _least: Tensor | None = None
    _most: Tensor | None = None

    def run(
        self, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None
    ) -> tuple[Tensor, State]:
        """Runs the stack as `record` does, and looks at all that happens inside."""
        found = record(self.stack, values, weights, lengths, states)
        self.see(found.arrays, lengths)
        return found.output, found.last

    def see(self, arrays: Mapping[str, Tensor], lengths: Tensor | None) -> None:
        """Takes in gates and states `(layers, directions, batch, time, units)`, up to each length."""
        first = next(iter(arrays.values()))
        batch, steps = first.shape[2:4]
        real = torch.ones(batch, steps, dtype=torch.bool, device=first.device)
        if lengths is not None:
            real = torch.arange(steps, device=first.device) < lengths.to(first.device)[:, None]
        self._tokens += int(real.sum())
        for name in self.stack.cell.gates:
            limits = _limits(self.stack.cell, name)
            if limits is None:
                continue
            gate = arrays[name]
            low, high = gate < limits[0], gate > limits[1]  # NaN is neither
            ends = torch.stack([low.sum((2, 3, 4)), high.sum((2, 3, 4))])
            self._ends[name] = ends + self._ends.get(name, torch.zeros_like(ends))
        hidden = arrays[self.stack.cell.states[0]]
        beyond = ~real[:, :, None]
        least = hidden.masked_fill(beyond, torch.inf).amin((2, 3))
        most = hidden.masked_fill(beyond, -torch.inf).amax((2, 3))
        self._least = least if self._least is None else torch.minimum(least, self._least)
        self._most = most if self._most is None else torch.maximum(most, self._most)
        # NaN travels through least and most, an infinity is the greatest
        if self.bad is None and not bool((torch.isfinite(least) & torch.isfinite(most)).all()) and bool(real.any()):
            self.bad = self._first_bad(arrays, real)

    def gates(self) -> Iterator[GateUse]:
        """Every gate of every layer and direction."""
        for name, ends in self._ends.items():
            for layer in range(self.stack.num_layers):
                for direction in range(self.stack.directions):
                    low, high = (ends[:, layer, direction] / max(self._tokens * self.stack.hidden_size, 1)).tolist()
                    yield GateUse(self.part, layer, direction, name, low, high)

    def units(self) -> Iterator[UnitUse]:
        """Dead units of every layer and direction."""
        if self._least is None or self._most is None or not self._tokens:
            return
        span, size = self._most - self._least, torch.maximum(self._most.abs(), self._least.abs())
        bounded = _limits(self.stack.cell, self.stack.cell.gates[-1]) is not None
        limit = DEAD_RANGE if bounded else DEAD_RANGE * size.amax(-1, keepdim=True).clamp(min=1e-30)
        for layer, rows in enumerate(span <= limit):
            for direction, row in enumerate(rows):
                yield UnitUse(self.part, layer, direction, row.nonzero()[:, 0].tolist(), len(row))

    def _first_bad(self, arrays: Mapping[str, Tensor], real: Tensor) -> Bad | None:
        for layer in range(self.stack.num_layers):
            for direction in range(self.stack.directions):
                found = [
                    (name, ~torch.isfinite(array[layer, direction]) & real[:, :, None])
                    for name, array in arrays.items()
                ]
                number = sum(int(bad.sum()) for _, bad in found)
                if not number:
                    continue
                times = [(bad.any(2).any(0).nonzero()[:, 0], name, bad) for name, bad in found if bool(bad.any())]
                order = -1 if direction else 1  # the backward direction begins at the end
                time, name, bad = min(
                    ((int(t[-1 if direction else 0]), name, bad) for t, name, bad in times), key=lambda f: order * f[0]
                )
                row, unit = (int(i) for i in bad[:, time].nonzero()[0])
                value = float(arrays[name][layer, direction, row, time, unit])
                where = f"{name} of {place(self.part, layer, direction, unit)} at step {time} of sequence {row}"
                return Bad(number, where, value, row)
        return None


def _limits(cell: Cell, gate: str) -> tuple[float, float] | None:
    """Returns the limits between which a gate is not saturated; None for a gate without limits."""
    limits = {"sigmoid": (SATURATED_SIGMOID, 1 - SATURATED_SIGMOID), "tanh": (-SATURATED_TANH, SATURATED_TANH)}
    return limits.get(cell.activation(gate))


def bad_weights(network: torch.nn.Module) -> Bad | None:
    """The first weight that is not finite, and the number of all that are not."""
    found = [(name, ~torch.isfinite(weight.detach())) for name, weight in network.named_parameters()]
    found = [(name, bad) for name, bad in found if bool(bad.any())]
    if not found:
        return None
    name, bad = found[0]
    index = tuple(int(i) for i in bad.nonzero()[0])
    value = float(network.get_parameter(name).detach()[index])
    return Bad(sum(int(b.sum()) for _, b in found), f"weight {name}[{', '.join(map(str, index))}]", value)


def bad_inputs(values: Tensor, lengths: Tensor | None, features: Sequence[str] | None = None) -> Bad | None:
    """The first input `(batch, time, …)` that is not finite."""
    if not values.is_floating_point():
        return None
    bad = ~torch.isfinite(values)
    if lengths is not None:
        real = torch.arange(values.shape[1], device=values.device) < lengths.to(values.device)[:, None]
        bad &= real.reshape(*real.shape, *[1] * (values.dim() - 2))
    if not bool(bad.any()):
        return None
    index = bad.nonzero()[0].tolist()
    where = f"input at step {index[1]} of sequence {index[0]}"
    if len(index) > 2:
        where += f", feature {features[index[2]] if features else index[2]}"
    return Bad(int(bad.sum()), where, float(values[tuple(index)]), index[0])


class Radius(NamedTuple):
    """Spectral radius of the recurrent weights of one gate; `bounded` where the gate is squashed."""

    part: str
    layer: int
    direction: int
    gate: str
    radius: float
    bounded: bool

    @property
    def where(self) -> str:
        """For people."""
        return f"{place(self.part, self.layer, self.direction)} {self.gate}"


def spectral_radii(part: str, stack: Stack, weights: Sequence[Tensor]) -> Iterator[Radius]:
    """Largest absolute eigenvalue of each gate's block of `weight_hh`, after the projection where there is one.

    Cells without a recurrent matrix have none.

    Example:
        >>> import torch
        >>> from recurra import nn
        >>> layer = nn.RNN(1, 3)
        >>> _ = torch.nn.init.eye_(layer.weight_hh_l0.data).mul_(0.5)
        >>> [found.radius for found in spectral_radii("", layer.stack, layer.weights())]
        [0.5]
    """
    for index, group in enumerate(stack.split(weights)):
        layer, direction = divmod(index, stack.directions)
        matrices = [w.detach().double().cpu() for name, w in group.items() if name.startswith("weight_hh")]
        blocks = [block for matrix in matrices for block in matrix.split(stack.hidden_size)]
        for gate, block in zip(stack.cell.gates, blocks, strict=bool(blocks)):
            if "weight_hr" in group:
                square = block @ group["weight_hr"].detach().double().cpu()
            else:  # as many heads as blocks below each other
                square = torch.block_diag(*block.split(block.shape[1]))
            radius = float("nan")
            if bool(torch.isfinite(square).all()):
                radius = float(torch.linalg.eigvals(square).abs().max())
            yield Radius(part, layer, direction, gate, radius, _limits(stack.cell, gate) is not None)
