"""Spans and tokens of a corpus that activate a unit most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recurra.inspect.core.corpus import Corpus, Progress
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import JsonResult

from .label_association import Relation, related
from .spans import Span, UnitName, chunk_activations, unit_named

OFTEN = 3
"""Minimum number of occurrences of a listed token."""


class TokenActivity(NamedTuple):
    """Activity of a unit on a token.

    Attributes:
        token: the text.
        mean: mean activation at its steps.
        times: number of occurrences.

    Example:
        >>> from recurra.inspect import TokenActivity
        >>> TokenActivity("film", 0.5, 12)
        TokenActivity(token='film', mean=0.5, times=12)
    """

    token: str
    mean: float
    times: int


def max_activating(
    model: Any,
    X: Any = None,
    unit: int | str | UnitName = 0,
    y: Any = None,
    *,
    of: str = "hidden",
    top: int = 10,
    context: int = 5,
    lengths: Any = None,
    progress: Progress | None = None,
) -> UnitPage:
    """Finds the spans of a corpus where a unit is highest and lowest, and the tokens with the highest mean.

    A span consists of a peak of the activation and the adjacent steps with at least half of its distance from the mean
    of the unit over the corpus. Spans do not overlap. The corpus runs in chunks of a few hundred sequences, and memory
    grows by 4 bytes per step.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: many sequences as the estimator's `predict` takes them; for a module, the tensor that it is called with.
        unit: its number (of the first layer, forward), `"layer/direction/unit"` or `"part/layer/direction/unit"`.
        y: labels or numbers, one per sequence, to measure their association with the unit.
        of: the gate or state that is measured.
        top: number of spans of each kind.
        context: steps shown before and after a span.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        progress: called with the number of finished chunks and of all chunks.

    Raises:
        UsageError: there is no such unit.
        DataError: the inputs cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import max_activating
        >>> page = max_activating(torch.nn.GRU(2, 4, batch_first=True), torch.randn(300, 9, 2), unit=3, top=2)
        >>> len(page.high), page.high[0].value == page.maximum
        (2, True)
    """
    corpus = Corpus(model, X, None, lengths)
    labels = corpus.labels(y)
    name = unit_named(corpus.first().network, unit, of)
    at = name.layer, 0 if name.direction == "forward" else 1
    pieces, tokens, rows = [], [], []
    activity: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for done, (begin, subject) in enumerate(corpus, 1):
        seen = chunk_activations(subject, name.part, of, [name.unit])
        values = seen.values[at[0], at[1], :, :, 0]
        pieces += [row[:n].copy() for row, n in zip(values, seen.lengths, strict=True)]
        rows += range(begin, begin + len(seen.lengths))
        if seen.tokens is not None:
            tokens += seen.tokens
            for row, texts in zip(pieces[-len(seen.tokens) :], seen.tokens, strict=True):
                for text, value in zip(texts, row.tolist(), strict=True):
                    entry = activity[text]
                    entry[0] += value
                    entry[1] += 1
        if progress is not None:
            progress(done, len(corpus))
    flat = np.concatenate(pieces)
    mean = float(flat.mean(dtype=np.float64))
    line = _Line(flat, [len(p) for p in pieces], rows, tokens or None, labels, name, of, context)
    relation = None
    if labels is not None:
        means = np.array([p.mean() if len(p) else np.nan for p in pieces])[:, None]
        relation = related(means, labels[rows], model)[0]
    return UnitPage(
        name,
        of,
        list(line.spans(flat - mean, top)),
        list(line.spans(mean - flat, top)),
        mean,
        float(flat.std(dtype=np.float64)),
        float(flat.min()),
        float(flat.max()),
        [TokenActivity(t, total / int(n), int(n)) for t, (total, n) in activity.items() if n >= OFTEN],
        relation,
    )


@dataclass(frozen=True, repr=False)
class UnitPage(JsonResult):
    """Spans and tokens that activate a unit most.

    Attributes:
        unit: name of the unit.
        of: the gate or state.
        high: the spans with the highest activation, the highest first.
        low: the spans with the lowest activation, the lowest first.
        mean: mean of the activation over all steps.
        deviation: standard deviation of the activation.
        minimum: smallest activation.
        maximum: largest activation.
        tokens: activity of every token that occurs at least three times, unsorted; see `best_tokens`.
        relation: association of the mean activation of a sequence with the labels; None without labels.

    Example:
        >>> import torch
        >>> from recurra.inspect import max_activating
        >>> page = max_activating(torch.nn.GRU(2, 4, batch_first=True), torch.randn(300, 9, 2), unit=3, top=2)
        >>> page.minimum <= page.low[0].value < page.mean < page.high[0].value <= page.maximum
        True
        >>> str(page.unit), page.tokens, page.relation
        ('layer/0/forward/3', [], None)
    """

    unit: UnitName
    of: str
    high: list[Span]
    low: list[Span]
    mean: float
    deviation: float
    minimum: float
    maximum: float
    tokens: list[TokenActivity]
    relation: Relation | None

    def best_tokens(self, count: int = 10, *, low: bool = False) -> list[TokenActivity]:
        """Returns the tokens with the highest (or lowest) mean activation."""
        return sorted(self.tokens, key=lambda t: (t.mean if low else -t.mean, t.token))[:count]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The spans, one per row."""
        for kind, spans in (("high", self.high), ("low", self.low)):
            for span in spans:
                yield {"kind": kind, **span.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        return {
            "unit": str(self.unit),
            "of": self.of,
            "mean": self.mean,
            "deviation": self.deviation,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "high": [span.to_dict() for span in self.high],
            "low": [span.to_dict() for span in self.low],
            "high_tokens": [t._asdict() for t in self.best_tokens()],
            "low_tokens": [t._asdict() for t in self.best_tokens(low=True)],
            "relation": None if self.relation is None else self.relation.to_dict(),
        }

    def __repr__(self) -> str:
        """A page of text."""
        lines = [
            f"Unit {self.unit}, {self.of}: mean {self.mean:.3f}, deviation {self.deviation:.3f}, "
            f"{self.minimum:.3f} to {self.maximum:.3f}"
        ]
        if self.relation is not None:
            lines.append(str(self.relation))
        for title, spans, low in (("highest", self.high, False), ("lowest", self.low, True)):
            lines.append(f"{title}:")
            lines += [f"  {span}" for span in spans]
            if self.tokens:
                listed = ", ".join(f"{t.token} {t.mean:+.2f} ({t.times})" for t in self.best_tokens(8, low=low))
                lines.append(f"  tokens: {listed}")
        return "\n".join(lines)


class _Line(NamedTuple):
    """The activations of a corpus, with all sequences concatenated."""

    flat: np.ndarray
    lengths: list[int]
    rows: list[int]
    tokens: list[list[str]] | None
    labels: np.ndarray | None
    unit: UnitName
    of: str
    context: int

    def spans(self, height: np.ndarray, top: int) -> Iterator[Span]:
        """Yields the highest peaks with the steps around them."""
        ends = np.cumsum(self.lengths)
        taken = np.zeros(len(height), bool)
        given = 0
        for peak in np.argsort(-height, kind="stable").tolist():
            if given == top or height[peak] <= 0:
                return
            if taken[peak]:
                continue
            item = int(np.searchsorted(ends, peak, side="right"))
            first, last = int(ends[item]) - self.lengths[item], int(ends[item])
            begin, end = peak, peak + 1
            while begin > first and not taken[begin - 1] and height[begin - 1] >= height[peak] / 2:
                begin -= 1
            while end < last and not taken[end] and height[end] >= height[peak] / 2:
                end += 1
            taken[begin:end] = True
            given += 1
            yield self._span(item, first, begin - first, end - first, peak)

    def _span(self, item: int, first: int, begin: int, end: int, peak: int) -> Span:
        start, stop = max(0, begin - self.context), min(self.lengths[item], end + self.context)
        row = self.rows[item]
        return Span(
            row,
            begin,
            end,
            float(self.flat[peak]),
            start,
            self.flat[first + start : first + stop].tolist(),
            None if self.tokens is None else self.tokens[item][start:stop],
            None if self.labels is None else self.labels[row],
            self.unit,
            self.of,
        )


register(
    Measure(
        max_activating,
        Text("Maximally activating inputs", "유닛을 가장 크게 활성화하는 입력"),
        Text(
            "The places in a corpus where a unit has its largest and smallest values.",
            "코퍼스에서 유닛의 값이 가장 큰 곳과 가장 작은 곳입니다.",
        ),
    )
)
