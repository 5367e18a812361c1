"""Unit ablation: the effect of setting one unit to 0, for each unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recurra._util.messages import readable
from recurra.cells import Cell, State, Step
from recurra.cells.registry import torch_class
from recurra.errors import DataError, UsageError
from recurra.inspect.core.corpus import Corpus, Progress
from recurra.inspect.core.layer_input import LayerInput
from recurra.inspect.core.layers import DIRECTIONS, LayerCall
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import JsonResult
from recurra.inspect.interventions.changes import takes_alter
from recurra.ops import recurrence, replay
from recurra.ops.reference import Place

if TYPE_CHECKING:
    import xarray


def unit_ablation(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    of: str = "hidden",
    part: str | None = None,
    progress: Progress | None = None,
) -> UnitAblation:
    """Sets one unit at a time to 0, and measures the change of the score and the loss.

    Many ablations run in one batch. A unit can increase or decrease scores, so the result is the mean absolute change.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: inputs as in `max_activating`; a few hundred sequences are enough.
        y: targets, to measure the effect on the loss.
        of: the gate or state that is set to 0.
        part: name of the recurrent layer; None for the first that the model calls.
        progress: called after every group of units with the number of finished units and of all units.

    Raises:
        UsageError: there is no such gate or state, or it cannot be changed.
        DataError: the inputs cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import unit_ablation
        >>> unit_ablation(torch.nn.GRU(2, 4, batch_first=True), torch.randn(8, 9, 2)).score_change.dims
        ('layer', 'direction', 'unit')
    """
    corpus = Corpus(model, X, y)
    scores: Any = 0.0
    losses: Any = 0.0
    rows, weight = 0, 0.0
    for done, (_, subject) in enumerate(corpus):
        layer_input = LayerInput(subject, part)
        ablation = _Ablation(layer_input, of)

        def tell(units: int, before: int = done * ablation.count, all_: int = len(corpus) * ablation.count) -> None:
            if progress is not None:
                progress(before + units, all_)

        moved, lost, share = ablation.measure(tell)
        scores, losses = scores + moved, losses + lost
        rows, weight = rows + len(layer_input.values), weight + share
    if not rows:
        raise DataError("there is no step to inspect: every sequence is empty")
    return UnitAblation(
        _named(scores / rows, of, "score_change"), _named(losses / weight, of, "loss_change") if weight else None
    )


@dataclass(frozen=True, repr=False)
class UnitAblation(JsonResult):
    """Effect of ablating each unit alone.

    Attributes:
        score_change: mean absolute change of the score, `(layer, direction, unit)`.
        loss_change: change of the mean loss, positive if the unit is useful; None without targets.

    Example:
        >>> import torch
        >>> from recurra.inspect import unit_ablation
        >>> found = unit_ablation(torch.nn.GRU(2, 4, batch_first=True), torch.randn(8, 9, 2))
        >>> [row["score_change"] for row in found.rows(1)] == [found.score_change.max().item()]
        True
    """

    score_change: xarray.DataArray
    loss_change: xarray.DataArray | None

    def rows(self, top: int | None = None) -> list[dict[str, Any]]:
        """The units with the largest effect first: `layer direction unit score_change loss_change`."""
        values = self.score_change.values
        order = np.argsort(-values, axis=None, kind="stable")[:top]
        found = []
        for layer, direction, unit in zip(*np.unravel_index(order, values.shape), strict=True):
            at = int(layer), int(direction), int(unit)
            loss = None if self.loss_change is None else float(self.loss_change.values[at])
            names = {"layer": at[0], "direction": DIRECTIONS[at[1]], "unit": at[2]}
            found.append({**names, "score_change": float(values[at]), "loss_change": loss})
        return found

    def to_dict(self) -> dict[str, Any]:
        """All units."""
        return {"of": self.score_change.attrs["of"], "rows": self.rows()}

    def __repr__(self) -> str:
        """The ten units with the largest effect."""
        lines = [f"Unit ablation (each unit's {self.score_change.attrs['of']!r} set to 0)"]
        for row in self.rows(10):
            loss = "" if row["loss_change"] is None else f", loss {readable(row['loss_change'], signed=True)}"
            name = f"{row['layer']}/{row['direction']}/{row['unit']}"
            lines.append(f"{name}: score changes by {readable(row['score_change'])}{loss}")
        return "\n".join(lines)


class _Ablation:
    """Ablates each unit of one chunk of a corpus."""

    def __init__(self, layer_input: LayerInput, of: str) -> None:
        stack = layer_input.call.stack
        if of not in stack.inner_sizes:
            names = ", ".join(map(repr, stack.inner_sizes))
            raise UsageError(f"there is no {of!r} in a {stack.cell.name}; there are {names}")
        if of in stack.cell.gates and not takes_alter(stack):
            raise UsageError(f"the step of the cell {stack.cell.name!r} takes no argument `alter`; choose a state")
        self.layer_input, self.of = layer_input, of
        self.shape = (stack.num_layers, stack.directions, stack.inner_sizes[of])
        self.count = int(np.prod(self.shape))

    def measure(self, tell: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray, float]:
        """Returns sums over the sequences: absolute changes of scores, changes of losses, and weights of the losses."""
        moved, lost = np.zeros(self.count), np.zeros(self.count)
        group = 2 * self.layer_input.at_once  # twice as many as with a backward pass
        with torch.no_grad():
            scores, losses, weight = self._run(range(-1, 0))  # no unit has the number -1
            for begin in range(0, self.count, group):
                units = range(begin, min(begin + group, self.count))
                found = self._run(units)
                moved[begin : units.stop] = (found[0] - scores).abs().sum(1).double().cpu().numpy()
                lost[begin : units.stop] = found[1] - losses
                tell(units.stop)
        return moved.reshape(self.shape), lost.reshape(self.shape), weight

    def _run(self, units: range) -> tuple[Tensor, np.ndarray, float]:
        """Returns scores `(units, batch)`, sums of losses `(units,)` and their weight, each with one unit ablated."""
        subject, values = self.layer_input.subject, self.layer_input.values
        watcher = _OneEach(self.of, self.layer_input.call.stack.cell, units, self.shape, len(values))

        def run(call: LayerCall) -> tuple[Tensor, State]:
            if self.of == "hidden" and call.states is None and torch_class(call.stack.cell):
                return _without_each(call, units, self.shape)
            return replay(call.stack, call.values, call.weights, call.lengths, call.states, watcher=watcher)

        queries = [subject.scores] if subject.loss is None else [subject.scores, subject.loss]
        found = self.layer_input.query(values.expand(len(units), *values.shape), queries, run)
        scores = torch.stack([answers[0] for answers in found])
        if subject.loss is None:
            return scores, np.zeros(len(units)), 0.0
        return scores, np.array([float(answers[1][0]) for answers in found]), float(found[0][1][1])


def _without_each(call: LayerCall, units: range, shape: tuple[int, ...]) -> tuple[Tensor, State]:
    """Ablates hidden units of built-in cells like `_OneEach`, with the fastest engine.

    Setting a hidden unit to 0 has the same effect as setting the weights that read it to 0: in the same layer at the
    next step, in the layer above, and in the output. In a GRU the unit still has a state, but no weight reads it.
    """
    stack, rows = call.stack, len(call.values) // len(units)
    size, directions = stack.state_sizes[0], stack.directions
    outputs, finals = [], []
    for i, unit in enumerate(units):
        part = slice(i * rows, (i + 1) * rows)
        weights = stack.split([w.clone() for w in call.weights])
        layer, direction, number = (int(n) for n in np.unravel_index(max(unit, 0), shape))
        column = direction * size + number
        if unit >= 0:
            weights[layer * directions + direction]["weight_hh"][:, number] = 0
            for above in weights[(layer + 1) * directions : (layer + 2) * directions]:
                above["weight_ih"][:, column] = 0
        flat = [w for group in weights for w in group.values()]
        lengths = None if call.lengths is None else call.lengths[part]
        output, last = recurrence(stack, call.values[part], flat, lengths, batch_first=True)
        if unit >= 0:
            last[0][layer * directions + direction, :, number] = 0
            if layer == stack.num_layers - 1:
                output[..., column] = 0
        outputs.append(output)
        finals.append(last)
    return torch.cat(outputs), tuple(torch.cat(states, 1) for states in zip(*finals, strict=True))


class _OneEach:
    """A hook that sets one unit to 0 in each group of rows of the batch."""

    def __init__(self, of: str, cell: Cell, units: range, shape: tuple[int, ...], rows: int) -> None:
        self.of, self.states, self.alters = of, cell.states, of in cell.gates
        chosen = torch.ones(len(units), *shape)
        for row, unit in zip(chosen, units, strict=True):
            if unit >= 0:
                row.view(-1)[unit] = 0
        self.chosen = chosen.repeat_interleave(
            rows, 0
        )  # 0 for the ablated unit, else 1: (units * rows, layers, directions, size)

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        """Returns the gate with 0 for the ablated unit."""
        if name != self.of:
            return gate
        return gate * self.chosen[:, place.layer, place.direction].to(gate)

    def stepped(self, place: Place, step: Step) -> State:
        """Returns the states with 0 for the ablated unit."""
        return tuple(self.gate(place, n, s) for n, s in zip(self.states, step.state, strict=True))


def _named(values: np.ndarray, of: str, name: str) -> xarray.DataArray:
    import xarray

    coords = {"layer": range(values.shape[0]), "direction": list(DIRECTIONS[: values.shape[1]])}
    coords["unit"] = range(values.shape[2])
    return xarray.DataArray(values, coords, ("layer", "direction", "unit"), name, {"of": of})


register(
    Measure(
        unit_ablation,
        Text("Unit importance", "유닛의 중요도"),
        Text(
            "The change of the score and the loss when each unit is set to 0.",
            "유닛을 하나씩 0으로 만들었을 때 점수와 손실의 변화입니다.",
        ),
    )
)
