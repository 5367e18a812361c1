"""How much each unit matters: the effect of taking it away alone."""

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
from recurra.inspect.core.layer_input import Entry
from recurra.inspect.core.layers import LayerCall
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Dumped
from recurra.inspect.core.trace import DIRECTIONS
from recurra.inspect.interventions.changes import takes_alter
from recurra.ops import recurrence, replay
from recurra.ops.reference import Place

if TYPE_CHECKING:
    import xarray


def importance(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    of: str = "hidden",
    part: str | None = None,
    progress: Progress | None = None,
) -> Importance:
    """Ablates each unit alone, and says how much the score and the loss change.

    Many units go through the recurrence side by side. Scores are moved by a unit in both senses, so that the mean of
    their sizes is given.

    Args:
        model: an estimator of Recurra, a module that holds recurrent layers, or such a layer.
        X: inputs as in `browse`; a few hundred sequences tell enough.
        y: targets, where the effect on the loss is wanted too.
        of: the gate or state that is set to 0.
        part: name of the recurrent layer; the first that the model calls when None.
        progress: is told after every group of units how many of how many are done.

    Raises:
        UsageError: there is no such gate or state, or it cannot be changed.
        DataError: the inputs cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import importance
        >>> importance(torch.nn.GRU(2, 4, batch_first=True), torch.randn(8, 9, 2)).score_change.dims
        ('layer', 'direction', 'unit')
    """
    corpus = Corpus(model, X, y)
    scores: Any = 0.0
    losses: Any = 0.0
    rows, weight = 0, 0.0
    for done, (_, subject) in enumerate(corpus):
        entry = Entry(subject, part)
        ablation = _Ablation(entry, of)

        def tell(units: int, before: int = done * ablation.count, all_: int = len(corpus) * ablation.count) -> None:
            if progress is not None:
                progress(before + units, all_)

        moved, lost, share = ablation.measure(tell)
        scores, losses = scores + moved, losses + lost
        rows, weight = rows + len(entry.values), weight + share
    if not rows:
        raise DataError("there is no step to look at: every sequence is empty")
    return Importance(
        _named(scores / rows, of, "score_change"), _named(losses / weight, of, "loss_change") if weight else None
    )


@dataclass(frozen=True, repr=False)
class Importance(Dumped):
    """The effect of ablating each unit alone.

    Attributes:
        score_change: mean size of the change of the score, `(layer, direction, unit)`.
        loss_change: change of the mean loss; above 0 where the unit helps. None where the targets are not known.
    """

    score_change: xarray.DataArray
    loss_change: xarray.DataArray | None

    def rows(self, top: int | None = None) -> list[dict[str, Any]]:
        """The units that matter most first: `layer direction unit score_change loss_change`."""
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
        """The ten units that matter most."""
        lines = [f"Importance (each unit's {self.score_change.attrs['of']!r} set to 0)"]
        for row in self.rows(10):
            loss = "" if row["loss_change"] is None else f", loss {readable(row['loss_change'], signed=True)}"
            name = f"{row['layer']}/{row['direction']}/{row['unit']}"
            lines.append(f"{name}: score moves by {readable(row['score_change'])}{loss}")
        return "\n".join(lines)


class _Ablation:
    """Takes away each unit of one chunk of a corpus."""

    def __init__(self, entry: Entry, of: str) -> None:
        stack = entry.call.stack
        if of not in stack.inner_sizes:
            names = ", ".join(map(repr, stack.inner_sizes))
            raise UsageError(f"there is no {of!r} in a {stack.cell.name}; there are {names}")
        if of in stack.cell.gates and not takes_alter(stack):
            raise UsageError(f"the step of the cell {stack.cell.name!r} takes no argument `alter`; choose a state")
        self.entry, self.of = entry, of
        self.shape = (stack.num_layers, stack.directions, stack.inner_sizes[of])
        self.count = int(np.prod(self.shape))

    def measure(self, tell: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray, float]:
        """Sums over the sequences: sizes of the changes of scores, changes of losses, and the weight of the latter."""
        moved, lost = np.zeros(self.count), np.zeros(self.count)
        group = 2 * self.entry.at_once  # nothing is kept for a backward pass
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
        """Scores `(units, batch)`, sums of the losses `(units,)` and their weight, each with one unit taken away."""
        subject, values = self.entry.subject, self.entry.values
        watcher = _OneEach(self.of, self.entry.call.stack.cell, units, self.shape, len(values))

        def run(call: LayerCall) -> tuple[Tensor, State]:
            if self.of == "hidden" and call.states is None and torch_class(call.stack.cell):
                return _without_each(call, units, self.shape)
            return replay(call.stack, call.values, call.weights, call.lengths, call.states, watcher=watcher)

        questions = [subject.scores] if subject.loss is None else [subject.scores, subject.loss]
        found = self.entry.ask(values.expand(len(units), *values.shape), questions, run)
        scores = torch.stack([answers[0] for answers in found])
        if subject.loss is None:
            return scores, np.zeros(len(units)), 0.0
        return scores, np.array([float(answers[1][0]) for answers in found]), float(found[0][1][1])


def _without_each(call: LayerCall, units: range, shape: tuple[int, ...]) -> tuple[Tensor, State]:
    """The same as `_OneEach` for hidden units of our cells, by the fastest engine.

    That a hidden unit is 0 means that nobody reads it: not the layer at the next step, not the layer above, not what
    comes after. Its own carry-over in a GRU stays, but goes nowhere else.
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
    """A watcher that sets one unit to 0 in each group of rows of the batch."""

    def __init__(self, of: str, cell: Cell, units: range, shape: tuple[int, ...], rows: int) -> None:
        self.of, self.states, self.alters = of, cell.states, of in cell.gates
        chosen = torch.ones(len(units), *shape)
        for row, unit in zip(chosen, units, strict=True):
            if unit >= 0:
                row.view(-1)[unit] = 0
        self.chosen = chosen.repeat_interleave(
            rows, 0
        )  # 1 where a unit stays, (units * rows, layers, directions, size)

    def gate(self, place: Place, name: str, gate: Tensor) -> Tensor:
        """A gate, with 0 where the unit is taken away."""
        if name != self.of:
            return gate
        return gate * self.chosen[:, place.layer, place.direction].to(gate)

    def stepped(self, place: Place, step: Step) -> State:
        """The states, likewise."""
        return tuple(self.gate(place, n, s) for n, s in zip(self.states, step.state, strict=True))


def _named(values: np.ndarray, of: str, name: str) -> xarray.DataArray:
    import xarray

    coords = {"layer": range(values.shape[0]), "direction": list(DIRECTIONS[: values.shape[1]])}
    coords["unit"] = range(values.shape[2])
    return xarray.DataArray(values, coords, ("layer", "direction", "unit"), name, {"of": of})


register(
    Measure(
        importance,
        Text("Unit importance", "유닛의 중요도"),
        Text(
            "The change of the score and the loss when each unit is set to 0.",
            "유닛을 하나씩 0으로 만들었을 때 점수와 손실의 변화입니다.",
        ),
    )
)
