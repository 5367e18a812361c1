"""Numeric sequences of a file: sequences, targets, ids, and their places in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.messages import counted, listed
from recurra.data.columns.inputs import Arrays
from recurra.data.columns.numbers import number_of
from recurra.data.columns.timestamps import Spelling
from recurra.errors import DataError


@dataclass(frozen=True)
class SequenceFile:
    """Numeric sequences of a file.

    Args:
        path: the file.
        sequences: arrays `(time, features)`, with NaN for missing values.
        names: names of the features if the file has them, else None.
        targets: one per sequence, `(batch,)`: labels as strings (None if missing), or numbers (NaN if missing); None
            if the file has no targets. `(batch, targets)` for several. Or lists of labels, one for each step.
        where: returns the file and line of a sequence, counted from 0.
        ids: the id of each sequence in the file, or None.
        notes: remarks for the user about the reading of the file.
        spelling: format of the times, or None.
        categories: the values of each column of categories.
        order: of a table with one row per step, the row of each step of all sequences, `(steps,)`; else None.
    """

    path: Path
    sequences: Arrays
    names: Sequence[str]
    targets: np.ndarray | None
    where: Callable[[int], str]
    ids: list[Any] | None = None
    notes: tuple[str, ...] = ()
    spelling: Spelling | None = None
    categories: Mapping[str, list[str]] = field(default_factory=dict)
    order: np.ndarray | None = None

    @property
    def summary(self) -> str:
        """A one-line summary for the user."""
        lengths = [len(row) for row in self.sequences.rows]
        low, high = min(lengths, default=0), max(lengths, default=0)
        named = f" ({listed(self.names, 8)})" if self.names else ""
        facts = [
            counted(len(lengths), "sequence"),
            f"{low}–{high} steps" if low < high else counted(high, "step"),
            counted(self.sequences.features, "feature") + named,
        ]
        if self.sequences.missing:
            facts.append(counted(self.sequences.missing, "missing value"))
        return f"{self.path.name}: {', '.join(facts)}"


def joined(path: Path, files: Sequence[SequenceFile]) -> SequenceFile:
    """Joins the sequences of several files.

    Args:
        path: the folder or pattern of the files.
        files: at least one.

    Raises:
        DataError: the files have different numbers of features, or targets of different kinds.
    """
    first = files[0]
    if len(files) == 1:
        return first
    for file in files[1:]:
        if file.sequences.features != first.sequences.features:
            raise DataError(
                f"{file.path.name} has {counted(file.sequences.features, 'feature')}, but {first.path.name} has "
                f"{first.sequences.features}: the files of one data set have the same features"
            )
        if _kind(file) != _kind(first):
            raise DataError(
                f"{file.path.name} has {_kind(file)}, but {first.path.name} has {_kind(first)}: the files of one data "
                "set have targets of one kind"
            )
    ends = np.cumsum([len(file.sequences) for file in files])

    def where(row: int) -> str:
        at = int(np.searchsorted(ends, row, side="right"))
        return files[at].where(row - (int(ends[at - 1]) if at else 0))

    targets = None if first.targets is None else np.concatenate([np.asarray(file.targets) for file in files])
    rows = [row for file in files for row in file.sequences.rows]
    notes = [f"{file.path.name}: {note}" for file in files for note in file.notes]
    files_read = f"{len(files):,} files ({listed([file.path.name for file in files], 8)})"
    return SequenceFile(
        path, Arrays(rows, first.sequences.features), first.names, targets, where, None, (files_read, *notes)
    )


def _kind(file: SequenceFile) -> str:
    if file.targets is None:
        return "no targets"
    return "numbers as targets" if file.targets.dtype.kind in "iuf" else "classes as targets"


MOST_NAMED = 3
"""Sequences without values that are named; further ones are counted."""


def without_values(sequences: Arrays, where: Callable[[int], str]) -> str:
    """Returns a sentence that names the sequences whose values are all missing; an empty text if there are none.

    Args:
        sequences: the sequences.
        where: returns the place of a sequence.
    """
    found = sequences.without_values
    if not found:
        return ""
    places = ", ".join(where(row) for row in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    return f"{counted(len(found), 'sequence')} without a value, all are missing: {places}{more}"


def side_by_side(targets: Sequence[np.ndarray]) -> np.ndarray | None:
    """Returns columns of targets as one array: None for no column, `(batch,)` for one, `(batch, targets)` for more."""
    return None if not targets else targets[0] if len(targets) == 1 else np.stack(targets, 1)


def labelled(file: SequenceFile, numbers: bool) -> np.ndarray:
    """Returns the targets of a file as classes or, with `numbers`, as numbers.

    Raises:
        DataError: there are no targets, or a target is not a number.
    """
    targets = file.targets
    if targets is None:
        raise DataError(f"{file.path.name} has no targets: there is nothing to learn from or to compare with")
    if targets.ndim == 2:
        return targets
    if not numbers:
        return targets if targets.dtype.kind == "O" else _classes(file, targets)
    found = np.empty(len(targets))
    for row, target in enumerate(targets.tolist()):
        try:
            found[row] = np.nan if target is None else number_of(str(target))
        except ValueError:
            raise DataError(f"{file.where(row)}: the target {target!r} is not a number") from None
    return found


def _classes(file: SequenceFile, targets: np.ndarray) -> np.ndarray:
    """Converts numbers to classes, `1.0` to `"1"`."""
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero(~np.isnan(targets) & ~(np.isfinite(targets) & (targets == np.round(targets))))
    if odd.size:
        row = int(odd[0])
        if np.isinf(targets[row]):
            raise DataError(f"{file.where(row)}: the target {targets[row]} is not a finite number")
        raise DataError(
            f"{file.where(row)}: the target {targets[row]:g} is a number, not a class; try recurra fit regress"
        )
    return np.array([None if np.isnan(target) else str(int(target)) for target in targets], dtype=object)
