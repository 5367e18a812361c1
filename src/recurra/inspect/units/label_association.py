"""Association of units with labels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import DataError, UsageError
from recurra.inspect.core.corpus import Corpus, Progress
from recurra.inspect.core.layers import DIRECTIONS, recurrent_layers
from recurra.inspect.core.registry import Measure, Text, register
from recurra.inspect.core.results import JsonResult
from recurra.inspect.interventions.changes import part_of

from .spans import UnitName, chunk_activations, unit_named

SUMMARIES = ("mean", "max", "min", "last")
"""Ways to reduce the activations of a unit over a sequence to one number; `"last"` is the last computed step."""
ALPHA = 0.05
"""False discovery rate of the significant units."""
FEW = 20
"""Integers with at most this many different values are treated as classes."""


@dataclass(frozen=True)
class Relation:
    """Association of a unit with the labels.

    Attributes:
        unit: name of the unit; None in a `UnitPage`.
        measure: `"r"` (Pearson correlation; with two classes point-biserial, positive if the unit is higher in the
            second class), or `"eta2"` (share of the variance between the classes).
        value: value of the measure.
        p: p-value under the hypothesis that unit and labels are independent.
        q: p-value adjusted for the number of units (Benjamini and Hochberg 1995): the false discovery rate among this
            unit and all stronger ones.

    Example:
        >>> import torch
        >>> from recurra.inspect import label_association
        >>> x = torch.randn(200, 9, 2)
        >>> found = label_association(torch.nn.GRU(2, 4, batch_first=True), x, x[:, :, 0].mean(1).numpy())
        >>> relation = found.relations[0]
        >>> relation.measure, relation.strength == relation.value**2, relation.q >= relation.p
        ('r', True, True)
    """

    unit: UnitName | None
    measure: str
    value: float
    p: float
    q: float

    @property
    def strength(self) -> float:
        """Share of the explained variance, η² or r²."""
        return self.value if self.measure == "eta2" else self.value**2

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers and strings."""
        return {**vars(self), "unit": None if self.unit is None else str(self.unit)}

    def __str__(self) -> str:
        """The relation in one line."""
        name = "labels" if self.unit is None else str(self.unit)
        sign = f"r {self.value:+.3f}" if self.measure == "r" else f"eta2 {self.value:.3f}"
        return f"{name}: {sign}, p {self.p:.2g}, q {self.q:.2g}"


@dataclass(frozen=True, repr=False)
class LabelAssociation(JsonResult):
    """Units ranked by their association with the labels.

    Attributes:
        relations: the relation of every unit, the strongest first.
        of: the gate or state.
        summary: how the activations were reduced to one number per sequence.
        rows: number of sequences.

    Example:
        >>> import torch
        >>> from recurra.inspect import label_association
        >>> x = torch.randn(200, 9, 2)
        >>> found = label_association(torch.nn.GRU(2, 4, batch_first=True), x, x[:, :, 0].mean(1).numpy())
        >>> found.rows, len(found.relations), len(found.significant) <= 4
        (200, 4, True)
    """

    relations: list[Relation]
    of: str
    summary: str
    rows: int

    @property
    def significant(self) -> list[Relation]:
        """The units that are associated with the labels, at a false discovery rate of 5 %."""
        return [r for r in self.relations if r.q <= ALPHA]

    @property
    def telling(self) -> list[Relation]:
        """Deprecated name of `significant`."""
        warnings.warn("`telling` is now `significant`", DeprecationWarning, stacklevel=2)
        return self.significant

    def to_dict(self) -> dict[str, Any]:
        """All units."""
        return {
            "of": self.of,
            "summary": self.summary,
            "rows": self.rows,
            "telling": len(self.significant),
            "relations": [r.to_dict() for r in self.relations],
        }

    def __repr__(self) -> str:
        """The ten best units."""
        head = (
            f"Label association ({self.summary} of {self.of!r}, {self.rows:,} sequences): {len(self.significant)} of "
        )
        return "\n".join([f"{head}{len(self.relations)} at q <= {ALPHA}", *map(str, self.relations[:10])])


def label_association(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    of: str = "hidden",
    summary: str = "mean",
    part: str | None = None,
    lengths: Any = None,
    progress: Progress | None = None,
) -> LabelAssociation:
    """Ranks all units by their association with labels or numbers.

    Args:
        model: an estimator of Recurra, a module with recurrent layers, or a recurrent layer.
        X: many sequences, as in `max_activating`.
        y: one label (class) or number per sequence: the targets of the model, or any other property.
        of: the gate or state that is measured.
        summary: reduces the activations over a sequence to one number: `"mean"`, `"max"`, `"min"` or `"last"`.
        part: name of the recurrent layer in a model with several.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.
        progress: called with the number of finished chunks and of all chunks.

    Raises:
        UsageError: an argument does not fit.
        DataError: the inputs or labels cannot be used.

    Example:
        >>> import torch
        >>> from recurra.inspect import label_association
        >>> x = torch.randn(200, 9, 2)
        >>> found = label_association(torch.nn.GRU(2, 16, batch_first=True), x, x[:, :, 0].mean(1).numpy())
        >>> found.relations[0].strength > found.relations[-1].strength
        True
    """
    if summary not in SUMMARIES:
        raise UsageError(f"summary is one of {', '.join(SUMMARIES)}, not {summary!r}")
    corpus = Corpus(model, X, None, lengths)
    labels = corpus.labels(y)
    if labels is None:
        raise UsageError("label_association needs y, one label or number per sequence")
    part = part_of(part, list(recurrent_layers(corpus.first().network)))
    unit_named(corpus.first().network, UnitName(part, 0, DIRECTIONS[0], 0), of)  # checks `of`
    found, rows, shape = [], [], (0, 0, 0)
    for done, (begin, subject) in enumerate(corpus, 1):
        seen = chunk_activations(subject, part, of)
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
    return LabelAssociation(sorted(named, key=lambda r: -r.strength), of, summary, int((~np.isnan(values[:, 0])).sum()))


def _summed(values: np.ndarray, lengths: list[int], summary: str) -> np.ndarray:
    """Returns a number per sequence and unit, `(batch, layers * directions * units)`; NaN for an empty sequence."""
    layers, directions, batch, steps, units = values.shape
    count = np.array(lengths)[:, None]
    if summary == "last":
        at = np.stack([np.maximum(np.array(lengths) - 1, 0), np.zeros(batch, int)])[
            :directions
        ]  # the backward direction ends at the first step
        picked = values[:, np.arange(directions)[:, None], np.arange(batch), at]
    else:
        real = (np.arange(steps) < count)[:, :, None]
        neutral, function = {"mean": (0, np.sum), "max": (-np.inf, np.max), "min": (np.inf, np.min)}[summary]
        picked = function(np.where(real, values, neutral), axis=3)
        picked = picked / np.maximum(count, 1) if summary == "mean" else picked
    picked = np.where(count > 0, picked, np.nan)
    return np.moveaxis(picked, 2, 0).reshape(batch, layers * directions * units)


def related(values: np.ndarray, y: np.ndarray, model: Any) -> list[Relation]:
    """Computes the relation of each column of `values` `(batch, units)` with `y` `(batch,)`. Rows with NaN are ignored.

    Raises:
        DataError: the labels cannot be compared.
    """
    from scipy.stats import f, false_discovery_control
    from sklearn.feature_selection import f_classif, r_regression

    numbers, kinds = _kind(y, model)
    known = ~np.isnan(values).any(1) & (~np.isnan(numbers) if kinds is None else True)
    values, numbers = values[known].astype(np.float64), numbers[known]
    if len(numbers) < 3 or len(np.unique(numbers)) < 2:
        raise DataError("there are too few labels: at least 3 sequences and 2 different labels are needed")
    moving = values.std(0) > 0  # a constant unit has no association
    value, groups, rows = np.zeros(values.shape[1]), len(np.unique(numbers)), len(numbers)
    several = kinds is not None and groups > 2
    between, within = (groups - 1, rows - groups) if several else (1, rows - 2)  # degrees of freedom
    with np.errstate(divide="ignore", invalid="ignore"):  # a unit may predict the labels exactly
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
    """Returns labels as numbers, and the number of classes; None if the labels are numbers."""
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
        label_association,
        Text("Units associated with labels", "레이블과 관련된 유닛"),
        Text(
            "The units whose values differ most between labels.",
            "레이블에 따라 값이 가장 많이 달라지는 유닛입니다.",
        ),
    )
)
