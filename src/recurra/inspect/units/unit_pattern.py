"""Search of a corpus for places where the same units are active for the same number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import UsageError
from recurra.inspect.core.corpus import Corpus, Progress
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import JsonResult

from .spans import Span, UnitName, best_windows, chunk_activations, row_activations, unit_named

THRESHOLD = 0.3


def unit_pattern(
    model: Any,
    X: Any,
    span: tuple[int, int, int],
    y: Any = None,
    *,
    units: Sequence[int] | None = None,
    threshold: float = THRESHOLD,
    where: str | UnitName = "0/forward/0",
    of: str = "hidden",
    top: int = 10,
    context: int = 5,
    lengths: Any = None,
    progress: Progress | None = None,
) -> UnitPattern:
    """Finds places of a corpus where the same units are active for as many steps as in a given span.

    A unit is active at a step if its value is at least the threshold. The pattern is a set of units over the steps of
    the span. A place of the same length matches by its units that are active at all of its steps. Places are sorted by
    the number of these units, then by the number of those that are not active directly before and after the place, then
    by the mean value of the units. This is the search of LSTMVis (Strobelt and others 2018).

    `similar` compares the values of all units and needs no threshold.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: many sequences, as in `max_activating`.
        span: number of a sequence, its first step and one past its last step.
        y: labels to show beside the places.
        units: numbers of the units; None for those that are active at all steps of the span.
        threshold: smallest value of an active unit.
        where: layer and direction, as `"layer/direction/unit"` (the unit is ignored).
        of: the state or gate.
        top: number of places.
        context: steps shown before and after a place.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        progress: called with the number of finished chunks and of all chunks.

    Raises:
        UsageError: there is no such span, layer or unit, or no unit is active over the span.
        DataError: the inputs cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import unit_pattern
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(20, 9, 2)
        >>> x[7, 2:6] = x[2, 2:6]
        >>> found = unit_pattern(torch.nn.RNN(2, 32, batch_first=True), x, (2, 4, 6), threshold=0.1)
        >>> found.matches[0].active == len(found.units), len(found.matches)
        (True, 10)
    """
    row, begin, end = span
    corpus = Corpus(model, X, None, lengths)
    name = unit_named(corpus.first().network, where, of)
    direction = 0 if name.direction == "forward" else 1
    chosen = _units(corpus, name, of, span, threshold, units)
    labels, best, width = corpus.labels(y), list[PatternMatch](), end - begin
    for done, (first, subject) in enumerate(corpus, 1):
        seen = chunk_activations(subject, name.part, of, chosen)
        values = seen.values[name.layer, direction]
        for b, at, active, exact, mean in _windows(values, threshold, width, top, (row - first, begin)):
            start, stop = max(0, at - context), min(seen.lengths[b], at + width + context)
            on = (values[b, start:stop] >= threshold).sum(1).astype(float).tolist()
            tokens = None if seen.tokens is None else seen.tokens[b][start:stop]
            label = None if labels is None else labels[first + b]
            place = Span(first + b, at, at + width, mean, start, on, tokens, label, name, of)
            best.append(PatternMatch(place, active, exact))
        best = sorted(best, key=lambda match: (-match.active, -match.exact, -match.span.value))[:top]
        if progress is not None:
            progress(done, len(corpus))
    return UnitPattern(best, chosen, threshold, name, of)


@dataclass(frozen=True)
class PatternMatch:
    """A place that matches a pattern.

    Attributes:
        span: the place. Its `value` is the mean value of the units, its `values` the numbers of active units.
        active: number of units of the pattern that are active at all steps of the place.
        exact: number of these that are not active directly before and after it.

    Example:
        >>> import torch
        >>> from recurra.inspect import unit_pattern
        >>> _ = torch.manual_seed(0)
        >>> layer = torch.nn.RNN(2, 32, batch_first=True)
        >>> match = unit_pattern(layer, torch.randn(9, 9, 2), (2, 4, 6), threshold=0.1).matches[0]
        >>> match.exact <= match.active, match.span.end - match.span.begin
        (True, 2)
    """

    span: Span
    active: int
    exact: int


@dataclass(frozen=True, repr=False)
class UnitPattern(JsonResult):
    """Places that match a pattern.

    Attributes:
        matches: the best first, without the given span.
        units: numbers of the units of the pattern.
        threshold: smallest value of an active unit.
        where: layer and direction of the units.
        of: the state or gate.

    Example:
        >>> import torch
        >>> from recurra.inspect import unit_pattern
        >>> _ = torch.manual_seed(0)
        >>> layer = torch.nn.RNN(2, 32, batch_first=True)
        >>> found = unit_pattern(layer, torch.randn(9, 9, 2), (2, 4, 6), units=[3], top=2)
        >>> found.units, len(found.matches)
        ([3], 2)
    """

    matches: list[PatternMatch]
    units: list[int]
    threshold: float
    where: UnitName
    of: str

    @property
    def spans(self) -> list[Span]:
        """The places of the matches."""
        return [match.span for match in self.matches]

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        rows = [{**match.span.to_dict(), "active": match.active, "exact": match.exact} for match in self.matches]
        return {"units": self.units, "threshold": self.threshold, "of": self.of, "matches": rows}

    def __repr__(self) -> str:
        """A line for each match."""
        count = len(self.units)
        lines = [f"Places where the same units of {self.of!r} are at least {self.threshold:g}: {self.units[:20]}"]
        return "\n".join([*lines, *(f"  {m.active} of {count} units, {m.exact} exact: {m.span}" for m in self.matches)])


def _units(
    corpus: Corpus, name: UnitName, of: str, span: tuple[int, int, int], threshold: float, units: Sequence[int] | None
) -> list[int]:
    """Returns the units of the pattern, after a check of the span."""
    row, begin, end = span
    values = row_activations(corpus, name, of, row)
    if not 0 <= begin < end <= len(values):
        raise UsageError(f"the sequence has {len(values)} steps; there is no span {begin} to {end}")
    if units is None:
        found = np.flatnonzero((values[begin:end] >= threshold).all(0)).tolist()
        if not found:
            most = float(values[begin:end].min(0).max())
            raise UsageError(
                f"no unit is at least {threshold:g} at all steps from {begin} to {end - 1}; the highest threshold "
                f"with a unit is {most:.3g}"
            )
        return found
    wrong = [unit for unit in units if not 0 <= unit < values.shape[1]]
    if wrong or not units:
        raise UsageError(f"units are from 0 to {values.shape[1] - 1}, got {', '.join(map(str, units)) or 'none'}")
    return sorted(set(units))


def _windows(
    values: np.ndarray, threshold: float, width: int, top: int, own: tuple[int, int]
) -> list[tuple[int, int, int, int, float]]:
    """Returns the best windows of a chunk: row, first step, active units, exact units, mean value.

    Args:
        values: `(batch, time, units)`, NaN in the padding.
        threshold: smallest value of an active unit.
        width: number of steps of a window.
        top: number of windows.
        own: row and first step of the given span, which is left out; the row may be outside of the chunk.
    """
    _, steps, count = values.shape
    if steps < width:
        return []
    on = values >= threshold  # False in the padding
    counts = np.cumsum(np.pad(on, ((0, 0), (1, 0), (0, 0))), axis=1, dtype=np.int32)
    through = counts[:, width:] - counts[:, :-width] == width  # (batch, windows, units)
    edges = np.pad(on, ((0, 0), (1, 1), (0, 0)))
    exact = (through & ~edges[:, : steps - width + 1] & ~edges[:, width + 1 :]).sum(-1)
    active = through.sum(-1)
    sums = np.cumsum(np.pad(np.nan_to_num(values).sum(-1, dtype=np.float64), ((0, 0), (1, 0))), axis=1)
    means = (sums[:, width:] - sums[:, :-width]) / (width * count)
    order = active * (count + 1.0) + exact + 0.5 + np.arctan(means) / np.pi  # by all three, the mean last
    order[active == 0] = -np.inf
    best = best_windows(order, width, top, own)
    return [(b, at, int(active[b, at]), int(exact[b, at]), float(means[b, at])) for b, at in best]


register(
    Measure(
        unit_pattern,
        Text("Unit patterns", "유닛 패턴"),
        Text(
            "The places in a corpus where chosen units are active for as many steps as in a given span.",
            "주어진 구간에서와 같은 수의 스텝 동안 선택한 유닛이 활성화되는 코퍼스의 구간입니다.",
        ),
    )
)
