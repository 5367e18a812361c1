"""Spans of a corpus with states similar to those of a given span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import UsageError
from recurra.inspect.core.corpus import Corpus, Progress
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import JsonResult

from .spans import Span, UnitName, best_windows, chunk_activations, row_activations, unit_named


def similar(
    model: Any,
    X: Any = None,
    span: Span | tuple[int, int, int] = (0, 0, 1),
    y: Any = None,
    *,
    where: str | UnitName = "0/forward/0",
    of: str = "hidden",
    top: int = 10,
    context: int = 5,
    lengths: Any = None,
    progress: Progress | None = None,
) -> Similar:
    """Finds spans with states similar to those of a given span.

    All units of a layer and direction are compared step by step. Their values are standardised over the first chunk of
    the corpus. The similarity is the cosine between two spans of the same width. As in LSTMVis (Strobelt and others
    2018), the result also lists the units that are on over the whole span (a standard deviation above their mean) and
    off at the steps next to it. For each match it has the number of these units with the same pattern.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: many sequences, as in `max_activating`.
        span: a span of a `UnitPage`, or a row, its first step and one past its last step.
        y: labels to show beside the spans.
        where: for a span of numbers, the layer and direction whose states are compared, as `"layer/direction/unit"`
            (the unit is ignored).
        of: for a span of numbers, the state or gate that is compared.
        top: number of spans.
        context: steps shown before and after a span.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        progress: called with the number of finished chunks and of all chunks.

    Raises:
        UsageError: there is no such span or layer.
        DataError: the inputs cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import similar
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(20, 9, 2)
        >>> x[7, 3:6] = x[2, 3:6]
        >>> found = similar(torch.nn.RNN(2, 16, batch_first=True), x, (2, 4, 6))
        >>> found.spans[0].row, found.spans[0].begin
        (7, 4)
    """
    if isinstance(span, Span):
        row, begin, end, where, of = span.row, span.begin, span.end, span.unit, span.of
    else:
        row, begin, end = span
    corpus = Corpus(model, X, None, lengths)
    name = unit_named(corpus.first().network, where, of)
    pattern = _Pattern(corpus, name, of, row, begin, end)
    labels, best = corpus.labels(y), []
    for done, (first, subject) in enumerate(corpus, 1):
        seen = chunk_activations(subject, name.part, of)
        states = pattern.standard(seen.values[name.layer, pattern.direction])
        for b, at, cosine in pattern.best(states, seen.lengths, top, row - first):
            if len(best) == top and cosine <= best[-1].similarity:
                continue
            start, stop = max(0, at - context), min(seen.lengths[b], at + pattern.width + context)
            on = states[b, start:stop][:, pattern.units] > 1
            tokens = None if seen.tokens is None else seen.tokens[b][start:stop]
            counts = on.sum(1).astype(float).tolist()
            label = None if labels is None else labels[first + b]
            found = Span(first + b, at, at + pattern.width, cosine, start, counts, tokens, label, name, of)
            best.append(Match(found, cosine, pattern.shared(states[b, : seen.lengths[b]], at)))
            best = sorted(best, key=lambda m: -m.similarity)[:top]
        if progress is not None:
            progress(done, len(corpus))
    return Similar(best, pattern.units.tolist(), name)


@dataclass(frozen=True)
class Match:
    """A similar span.

    Attributes:
        span: the span.
        similarity: cosine, 1 for the same pattern.
        shared: number of the pattern's units that are on over this span and off next to it.

    Example:
        >>> import torch
        >>> from recurra.inspect import similar
        >>> x = torch.randn(20, 9, 2)
        >>> x[7] = x[2]
        >>> match = similar(torch.nn.RNN(2, 16, batch_first=True), x, (2, 4, 6)).matches[0]
        >>> match.span.row, round(match.similarity, 3)
        (7, 1.0)
    """

    span: Span
    similarity: float
    shared: int


@dataclass(frozen=True, repr=False)
class Similar(JsonResult):
    """Spans that are similar to a given one.

    Attributes:
        matches: the most similar first, without the given span.
        units: numbers of the units that are on over the given span and off next to it.
        where: layer and direction of the states that were compared.

    Example:
        >>> import torch
        >>> from recurra.inspect import similar
        >>> found = similar(torch.nn.RNN(2, 16, batch_first=True), torch.randn(20, 9, 2), (2, 4, 6), top=3)
        >>> len(found.matches), found.spans[0] == found.matches[0].span
        (3, True)
    """

    matches: list[Match]
    units: list[int]
    where: UnitName

    @property
    def spans(self) -> list[Span]:
        """The spans of the matches."""
        return [match.span for match in self.matches]

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        rows = [{**m.span.to_dict(), "similarity": m.similarity, "shared": m.shared} for m in self.matches]
        return {"units": self.units, "matches": rows}

    def __repr__(self) -> str:
        """A line for each match."""
        lines = [
            f"Similar spans; {len(self.units)} units are on in the given span and off next to it: {self.units[:20]}"
        ]
        return "\n".join([*lines, *(f"  {m.span} (shares {m.shared})" for m in self.matches)])


class _Pattern:
    """The states over the given span."""

    def __init__(self, corpus: Corpus, name: UnitName, of: str, row: int, begin: int, end: int) -> None:
        self.direction, self.width = 0 if name.direction == "forward" else 1, end - begin
        values = chunk_activations(corpus.first(), name.part, of).values[name.layer, self.direction]
        known = values[~np.isnan(values).any(-1)]
        self.mean, self.deviation = known.mean(0), known.std(0)
        self.deviation[self.deviation == 0] = 1
        own = row_activations(corpus, name, of, row)
        if not 0 <= begin < end <= len(own):
            raise UsageError(f"row {row} has {len(own)} steps; there is no span {begin} to {end}")
        states = self.standard(own)
        self.vectors = states[begin:end] / (np.linalg.norm(states[begin:end]) or 1)  # (width, units)
        self.units = np.arange(states.shape[1])
        self.units = self.units[self._kept(states, begin)]
        self.begin = begin

    def standard(self, states: np.ndarray) -> np.ndarray:
        return (states - self.mean) / self.deviation

    def best(self, states: np.ndarray, lengths: list[int], top: int, own: int) -> list[tuple[int, int, float]]:
        """Returns the best windows of a chunk: row, first step, cosine."""
        steps, width = states.shape[1], self.width
        if steps < width:
            return []
        states, windows = np.nan_to_num(states), steps - width + 1
        squares = np.cumsum(np.pad((states**2).sum(-1), ((0, 0), (1, 0))), axis=1)
        sizes = np.sqrt(np.maximum(squares[:, width:] - squares[:, :-width], 1e-12))
        cosines = sum(states[:, k : k + windows] @ vector for k, vector in enumerate(self.vectors)) / sizes
        cosines[np.arange(windows) > np.array(lengths)[:, None] - width] = -np.inf
        return [(b, at, float(cosines[b, at])) for b, at in best_windows(cosines, width, top, (own, self.begin))]

    def shared(self, states: np.ndarray, begin: int) -> int:
        return int(self._kept(states[:, self.units], begin).sum())

    def _kept(self, states: np.ndarray, begin: int) -> np.ndarray:
        """Returns a mask of the units that are on over the window and off next to it."""
        on = states > 1
        beside = [t for t in (begin - 1, begin + self.width) if 0 <= t < len(states)]
        return np.logical_and(on[begin : begin + self.width].all(0), ~on[beside].any(0))


register(
    Measure(
        similar,
        Text("Similar states", "비슷한 상태"),
        Text(
            "The places in a corpus where the same units are active as in a given span.",
            "주어진 구간과 같은 유닛이 활성화되는 코퍼스의 구간입니다.",
        ),
    )
)
