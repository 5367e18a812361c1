"""Cuts data into the parts of a search: to train on, to choose by, and to measure the result on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from recurra._util.messages import counted
from recurra.errors import DataError
from recurra.tasks.subsample import take

SHARE, SHARE_OF_FEW, FEW = 0.1, 0.2, 500
"""Share of the data in the part to choose by, and in the part to measure on; a larger one of fewer than `FEW` items."""
DIVISIONS = 3
"""Random divisions of few items that each trial is trained on: one small part would be too uncertain to choose by."""

Data = tuple[Any, ...]
"""Positional arguments of `fit`."""


class Parts(NamedTuple):
    """Data of a search.

    Attributes:
        divisions: pairs of data to train on and data that choose the epoch and the trial. The second is None if the
            estimator cuts them off itself.
        test: data that measure the result; None if there are none.
        whole: data to train the result on again; None if the model of a trial is the result.
        note: sentence on the parts.
        params: parameters of every trial.
    """

    divisions: tuple[tuple[Data, Data | None], ...]
    test: Data | None
    whole: Data | None = None
    note: str = ""
    params: Mapping[str, Any] = MappingProxyType({})


def share_of(count: int) -> float:
    """Returns the share of the data in each smaller part."""
    return SHARE_OF_FEW if count < FEW else SHARE


def cut_parts(
    data: Data, valid: Data | None, test: Data | None, cut: Callable[[Data, int], tuple[Data, Data]]
) -> Parts:
    """Cuts the missing parts off.

    Args:
        data: arguments of `fit`.
        valid: data to choose by, if they are known.
        test: data to measure on, if they are known.
        cut: divides data into a larger and a smaller part, differently for each number.
    """
    notes, found = [], test
    if test is None:
        data, found = cut(data, 0)
        notes.append(f"{size_of(found)} of the training data measure the result")
    if valid is not None:
        notes.append(f"the search trains on {size_of(data)}" if notes else "")
        return Parts(((data, valid[:2]),), found, note="; ".join(filter(None, notes)))
    few = not isinstance(data[0], str) and len(data[0]) < FEW
    pairs = [cut(data, number) for number in range(1, 1 + (DIVISIONS if few else 1))]
    trained, chosen = pairs[0]
    notes.append(f"a trial trains on {size_of(trained)}, and {size_of(chosen)} compare it with others")
    if few:
        notes.append(f"so few items are divided in {DIVISIONS} ways, and the result is trained on all {len(data[0])}")
    return Parts(tuple((one, other[:2]) for one, other in pairs), found, data if few else None, "; ".join(notes))


def size_of(data: Data) -> str:
    """Describes the number of items of data."""
    first = data[0]
    return counted(len(first), "character" if isinstance(first, str) else "item")


def cut_rows(data: Data, apart: np.ndarray) -> tuple[Data, Data]:
    """Divides rows.

    Args:
        data: columns of equal length; None for a column that is not given.
        apart: mask of the rows of the second part, `(rows,)`.

    Raises:
        DataError: a part has no rows.
    """
    if not apart.any() or apart.all():
        raise DataError(f"{counted(len(apart), 'item')} cannot be divided into training, validation and test data")
    parts = []
    for mask in (~apart, apart):
        rows = np.flatnonzero(mask).tolist()
        parts.append(tuple(None if column is None else take(column, rows) for column in data))
    return parts[0], parts[1]


def cut_text(text: str, share: float) -> tuple[str, str]:
    r"""Cuts the end off a running text, at the beginning of a line if there is one near.

    Example:
        >>> cut_text("one\ntwo\nthree\n", 0.4)
        ('one\ntwo\n', 'three\n')
    """
    at = round(len(text) * (1 - share))
    line = text.rfind("\n", 0, at + 1) + 1
    at = line if line > at // 2 else at
    return text[:at], text[at:]


def lengths_agree(columns: Sequence[Any]) -> None:
    """Raises `DataError` if columns have different lengths."""
    sizes = {len(column) for column in columns if column is not None}
    if len(sizes) > 1:
        raise DataError(f"X and y have different lengths: {' and '.join(f'{size:,}' for size in sorted(sizes))}")
