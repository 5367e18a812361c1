"""Which units go with the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import DataError, UsageError
from recurra.inspect.core.corpus import Corpus, Progress
from recurra.inspect.core.layers import recurrent_layers
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import Dumped
from recurra.inspect.core.trace import DIRECTIONS
from recurra.inspect.interventions.changes import part_of

from .spans import UnitName, unit_named, watch

SUMMARIES = ("mean", "max", "min", "last")
"""How the activations of a unit over a sequence become one number; `"last"` is the last step it computes."""
ALPHA = 0.05
"""Share of false discoveries among the units that are called telling."""
FEW = 20
"""Whole numbers of at most so many kinds are taken for classes."""


@dataclass(frozen=True)
class Relation:
    """How a unit goes with the labels.

    Attributes:
        unit: which unit; None where it is the one of a page.
        measure: `"r"` (Pearson; with two classes point-biserial, above 0 where the unit is higher in the second), or
            `"eta2"` (share of the variance that lies between the classes).
        value: its value.
        p: probability of a value at least as far from 0, if unit and labels had nothing to do with each other.
        q: the same allowing for the number of units that were tried (Benjamini and Hochberg 1995): the share of
            false discoveries among this unit and the better ones.
    """

    unit: UnitName | None
    measure: str
    value: float
    p: float
    q: float

    @property
    def strength(self) -> float:
        """Share of the variance explained, η² or r²."""
        return self.value if self.measure == "eta2" else self.value**2

    def to_dict(self) -> dict[str, Any]:
        """Numbers and strings."""
        return {**vars(self), "unit": None if self.unit is None else str(self.unit)}

    def __str__(self) -> str:
        """A line."""
        name = "labels" if self.unit is None else str(self.unit)
        sign = f"r {self.value:+.3f}" if self.measure == "r" else f"eta2 {self.value:.3f}"
        return f"{name}: {sign}, p {self.p:.2g}, q {self.q:.2g}"


@dataclass(frozen=True, repr=False)
class Telling(Dumped):
    """Units by how well they go with the labels.

    Attributes:
        relations: of every unit, the strongest first.
        of: the gate or state.
        summary: how it became one number per sequence.
        rows: number of sequences.
    """

    relations: list[Relation]
    of: str
    summary: str
    rows: int

    @property
    def telling(self) -> list[Relation]:
        """The units that go with the labels when at most one in twenty of these may be a false discovery."""
        return [r for r in self.relations if r.q <= ALPHA]

    def to_dict(self) -> dict[str, Any]:
        """All units."""
        return {
            "of": self.of,
            "summary": self.summary,
            "rows": self.rows,
            "telling": len(self.telling),
            "relations": [r.to_dict() for r in self.relations],
        }

    def __repr__(self) -> str:
        """The ten best units."""
        head = f"Telling units ({self.summary} of {self.of!r}, {self.rows:,} sequences): {len(self.telling)} of "
        return "\n".join([f"{head}{len(self.relations)} at q <= {ALPHA}", *map(str, self.relations[:10])])


def telling_units(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    of: str = "hidden",
    summary: str = "mean",
    part: str | None = None,
    lengths: Any = None,
    progress: Progress | None = None,
) -> Telling:
    """Ranks all units by how well they go with labels or numbers.

    Args:
        model: an estimator of Recurra, a module that holds recurrent layers, or such a layer.
        X: many sequences, as in `browse`.
        y: one label (class) or number per sequence; not only the targets of the model, but whatever you know of them.
        of: the gate or state that is looked at.
        summary: how the activations over a sequence become one number: `"mean"`, `"max"`, `"min"` or `"last"`.
        part: name of the recurrent layer in a model with several.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        progress: is told how many of how many chunks are done.

    Raises:
        UsageError: an argument does not fit.
        DataError: the inputs or labels cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import telling_units
        >>> x = torch.randn(200, 9, 2)
        >>> found = telling_units(torch.nn.GRU(2, 16, batch_first=True), x, x[:, :, 0].mean(1).numpy())
        >>> found.relations[0].strength > found.relations[-1].strength
        True
    """
    if summary not in SUMMARIES:
        raise UsageError(f"summary is one of {', '.join(SUMMARIES)}, not {summary!r}")
    corpus = Corpus(model, X, None, lengths)
    labels = corpus.labels(y)
    if labels is None:
        raise UsageError("telling_units needs y, one label or number per sequence")
    part = part_of(part, list(recurrent_layers(corpus.first().network)))
    unit_named(corpus.first().network, UnitName(part, 0, DIRECTIONS[0], 0), of)  # says whether there is such a gate
    found, rows, shape = [], [], (0, 0, 0)
    for done, (begin, subject) in enumerate(corpus, 1):
        seen = watch(subject, part, of)
        shape = (*seen.values.shape[:2], seen.values.shape[-1])
        found.append(_summed(seen.values, seen.lengths, summary))
        rows += range(begin, begin + len(seen.lengths))
        if progress is not None:
            progress(done, len(corpus))
    values = np.concatenate(found)
    relations = related(values, labels[rows], model)
    named = [
        Relation(UnitName(part, int(la), DIRECTIONS[d], int(u)), r.measure, r.value, r.p, r.q)
        for r, (la, d, u) in zip(relations, np.ndindex(*shape), strict=True)
    ]
    return Telling(sorted(named, key=lambda r: -r.strength), of, summary, int((~np.isnan(values[:, 0])).sum()))


def _summed(values: np.ndarray, lengths: list[int], summary: str) -> np.ndarray:
    """One number for each sequence and unit, `(batch, layers * directions * units)`; NaN for an empty sequence."""
    layers, directions, batch, steps, units = values.shape
    count = np.array(lengths)[:, None]
    if summary == "last":
        at = np.stack([np.maximum(np.array(lengths) - 1, 0), np.zeros(batch, int)])[:directions]  # backward: the first
        picked = values[:, np.arange(directions)[:, None], np.arange(batch), at]
    else:
        real = (np.arange(steps) < count)[:, :, None]
        neutral, function = {"mean": (0, np.sum), "max": (-np.inf, np.max), "min": (np.inf, np.min)}[summary]
        picked = function(np.where(real, values, neutral), axis=3)
        picked = picked / np.maximum(count, 1) if summary == "mean" else picked
    picked = np.where(count > 0, picked, np.nan)
    return np.moveaxis(picked, 2, 0).reshape(batch, layers * directions * units)


def related(values: np.ndarray, y: np.ndarray, model: Any) -> list[Relation]:
    """The relation of each column of `values` `(batch, units)` with `y` `(batch,)`; rows with NaN are left out.

    Raises:
        DataError: the labels cannot be compared.
    """
    from scipy.stats import f, false_discovery_control
    from sklearn.feature_selection import f_classif, r_regression

    numbers, kinds = _kind(y, model)
    known = ~np.isnan(values).any(1) & (~np.isnan(numbers) if kinds is None else True)
    values, numbers = values[known].astype(np.float64), numbers[known]
    if len(numbers) < 3 or len(np.unique(numbers)) < 2:
        raise DataError("the labels tell nothing apart: at least 3 sequences and 2 different labels are needed")
    moving = values.std(0) > 0  # a unit that never moves goes with nothing
    value, groups, rows = np.zeros(values.shape[1]), len(np.unique(numbers)), len(numbers)
    several = kinds is not None and groups > 2
    between, within = (groups - 1, rows - groups) if several else (1, rows - 2)  # degrees of freedom
    with np.errstate(divide="ignore", invalid="ignore"):  # a unit may tell the labels exactly
        if several and moving.any():
            ratio = f_classif(values[:, moving], numbers)[0] * between / within
            value[moving] = np.where(np.isinf(ratio), 1, ratio / (1 + ratio))
        elif moving.any():
            value[moving] = np.clip(r_regression(values[:, moving], numbers), -1, 1)
        share = value if several else value**2
        p = f.sf(share / (1 - share) * within / between, between, within)
    q = false_discovery_control(p)
    measure = "eta2" if several else "r"
    return [Relation(None, measure, *map(float, found)) for found in zip(value, p, q, strict=True)]


def _kind(y: np.ndarray, model: Any) -> tuple[np.ndarray, int | None]:
    """Labels as numbers, and how many classes there are; None for numbers."""
    if y.dtype.kind == "O" and all(isinstance(v, int | float) for v in y):
        y = y.astype(float)
    classes = np.unique(y.astype(str) if y.dtype.kind == "O" else y)
    whole = y.dtype.kind in "iub" and (len(classes) <= FEW or hasattr(model, "classes_"))
    if y.dtype.kind in "OUS" or whole:
        if len(classes) * 2 > len(y) and len(classes) > FEW:
            raise DataError(f"{len(classes)} classes among {len(y)} sequences: too few of each to compare")
        return np.searchsorted(classes, y.astype(classes.dtype)).astype(np.float64), len(classes)
    return y.astype(np.float64), None


register(
    Measure(
        telling_units,
        Text("Units associated with labels", "레이블과 관련된 유닛"),
        Text(
            "The units whose values differ most between labels.",
            "레이블에 따라 값이 가장 많이 달라지는 유닛입니다.",
        ),
    )
)
