"""Numeric sequences of a file: sequences, targets, ids, and their places in the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
            if the file has no targets.
        where: returns the file and line of a sequence, counted from 0.
        ids: the id of each sequence in the file, or None.
        notes: remarks for the user about the reading of the file.
        spelling: format of the times, or None.
    """

    path: Path
    sequences: Arrays
    names: Sequence[str]
    targets: np.ndarray | None
    where: Callable[[int], str]
    ids: list[Any] | None = None
    notes: tuple[str, ...] = ()
    spelling: Spelling | None = None

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


def labelled(file: SequenceFile, numbers: bool) -> np.ndarray:
    """Returns the targets of a file as classes or, with `numbers`, as numbers.

    Raises:
        DataError: there are no targets, or a target is not a number.
    """
    targets = file.targets
    if targets is None:
        raise DataError(f"{file.path.name} has no targets: there is nothing to learn from or to compare with")
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
