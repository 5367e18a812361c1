"""Names of units, and spans of a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.inspect.core.corpus import Corpus
from recurra.inspect.core.layers import DIRECTIONS, as_ours, recurrent_layers
from recurra.inspect.core.trace import trace
from recurra.inspect.interventions.changes import part_of
from recurra.tasks.subject import Subject


@dataclass(frozen=True, order=True)
class UnitName:
    """Name of a unit, written `part/layer/direction/unit`.

    Attributes:
        part: name of the recurrent layer in the model, `""` if it is the model.
        layer: counted from 0 at the input.
        direction: `"forward"` or `"backward"`.
        unit: number of the unit.

    Example:
        >>> str(UnitName("encoder.recurrent", 0, "forward", 17))
        'encoder.recurrent/0/forward/17'
    """

    part: str
    layer: int
    direction: str
    unit: int

    def __str__(self) -> str:
        return f"{self.part or 'layer'}/{self.layer}/{self.direction}/{self.unit}"


def unit_named(network: torch.nn.Module, unit: int | str | UnitName, of: str) -> UnitName:
    """Parses the name of a unit: a number, `"0/forward/17"` or `"part/0/forward/17"`.

    Raises:
        UsageError: there is no such unit, gate or state.
    """
    layers = recurrent_layers(network)
    if isinstance(unit, UnitName):
        part, layer, direction, number = unit.part, unit.layer, unit.direction, unit.unit
    else:
        pieces = str(unit).split("/")
        part, layer, direction, number = ([None, "0", "forward"][: max(0, 4 - len(pieces))] + pieces)[:4]
        part = "" if part == "layer" and "" in layers else part
        if len(pieces) > 4 or not (layer.isdigit() and number.isdigit()):
            raise UsageError(f"a unit is a number or part/layer/direction/unit, such as 0/forward/17; not {unit!r}")
        layer, number = int(layer), int(number)
    part = part_of(part, list(layers))
    stack = as_ours(layers[part]).stack
    if of not in stack.inner_sizes:
        names = ", ".join(map(repr, stack.inner_sizes))
        raise UsageError(f"there is no {of!r} in a {stack.cell.name}; there are {names}")
    if layer >= stack.num_layers or direction not in DIRECTIONS[: stack.directions] or number >= stack.inner_sizes[of]:
        raise UsageError(
            f"there is no unit {layer}/{direction}/{number}; {part or 'the layer'} has layers 0 to "
            f"{stack.num_layers - 1}, {' and '.join(DIRECTIONS[: stack.directions])}, units 0 to "
            f"{stack.inner_sizes[of] - 1} of {of!r}"
        )
    return UnitName(part, layer, direction, number)


class ChunkActivations(NamedTuple):
    """Activations of one chunk of a corpus.

    Attributes:
        values: `(layers, directions, batch, time, units)`, NaN in the padding.
        lengths: steps of each sequence.
        tokens: the text of each step, or None.
    """

    values: np.ndarray
    lengths: list[int]
    tokens: list[list[str]] | None


def chunk_activations(subject: Subject, part: str, of: str, units: list[int] | None = None) -> ChunkActivations:
    """Runs a chunk and returns one gate or state.

    Raises:
        UsageError: the layer does not run once per sequence.
    """
    data = trace(subject, names=[of], units=units).part(part).to_xarray()
    rows = len(subject.batch.lengths) if subject.batch.lengths is not None else data.sizes["batch"]
    if data.sizes["batch"] != rows:
        raise UsageError(f"the layer {part!r} does not run once per sequence; choose another with part=")
    lengths = data["length"].values.tolist()
    return ChunkActivations(data[of].values, lengths, subject.steps_of(part, lengths))


def row_activations(corpus: Corpus, unit: UnitName, of: str, row: int) -> np.ndarray:
    """Returns one gate or state of a sequence `(steps, units)`, in the layer and direction of a unit.

    Raises:
        UsageError: there is no such row, or the layer does not run once per sequence.
    """
    if not 0 <= row < corpus.count:
        raise UsageError(f"there is no row {row} among {corpus.count} sequences")
    found = np.zeros((0, 0))
    for first, subject in corpus.chunk_of(row):
        seen = chunk_activations(subject, unit.part, of)
        values = seen.values[unit.layer, DIRECTIONS.index(unit.direction), row - first]
        found = values[: seen.lengths[row - first]]
    return found


@dataclass(frozen=True)
class Span:
    """A span of steps of a sequence, with its context.

    Attributes:
        row: number of the sequence in the corpus.
        begin: first step.
        end: one past the last.
        value: the activation at the peak of the span, or its similarity.
        start: step at which `values` and `tokens` begin.
        values: activations of the span and of some steps before and after it; for similar spans, the number of units of
            the pattern that are on.
        tokens: the text of these steps; None for numbers.
        label: the target of the sequence; None if it is unknown.
        unit: the unit, or the layer and direction of the compared states.
        of: the gate or state.

    Example:
        >>> from recurra.inspect import Span, UnitName
        >>> unit = UnitName("encoder.recurrent", 0, "forward", 17)
        >>> print(Span(3, 1, 2, 0.75, 0, [0.1, 0.75, 0.2], ["a", "fine", "film"], "good", unit, "hidden"))
        row 3: +0.750 a [fine] film
    """

    row: int
    begin: int
    end: int
    value: float
    start: int
    values: list[float]
    tokens: list[str] | None
    label: Any
    unit: UnitName
    of: str

    def __str__(self) -> str:
        """The text with the span in brackets, or the steps."""
        if self.tokens is None:
            return f"row {self.row}, steps {self.begin} to {self.end - 1}: {self.value:+.3f}"
        first, last = self.begin - self.start, self.end - self.start
        parts = [self.tokens[:first], self.tokens[first:last], self.tokens[last:]]
        before, inside, after = (" ".join(part) for part in parts)
        return f"row {self.row}: {self.value:+.3f} {before} [{inside}] {after}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        label = self.label.item() if isinstance(self.label, np.generic | Tensor) else self.label
        return {**vars(self), "unit": str(self.unit), "label": label}


def best_windows(scores: np.ndarray, width: int, top: int, own: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns rows and first steps of the best windows of a chunk, the best first. Windows of a row do not overlap.

    Args:
        scores: of the window that begins at each step, `(batch, windows)`; -inf for those that do not count.
        width: number of steps of a window.
        top: number of windows.
        own: row and first step of a window that is left out; the row may be outside of the chunk.
    """
    rows, windows = scores.shape
    taken = np.zeros((rows, windows + width - 1), bool)
    if 0 <= own[0] < rows:
        taken[own[0], own[1] : own[1] + width] = True
    found: list[tuple[int, int]] = []
    for b in np.argsort(-scores.max(1), kind="stable")[: top + 1].tolist():  # only these rows contain the best windows
        order = np.argsort(-scores[b], kind="stable")
        order = order[np.isfinite(scores[b][order])]
        found += [(b, at) for _, at in zip(range(top), free_windows(order, taken[b], width), strict=False)]
    return sorted(found, key=lambda place: -scores[place])[:top]


def free_windows(order: np.ndarray, taken: np.ndarray, width: int) -> Iterator[int]:
    """Yields starts of windows in the given order, without windows that overlap an earlier one."""
    for begin in order.tolist():
        if not taken[begin : begin + width].any():
            taken[begin : begin + width] = True
            yield begin
