"""Converts numeric sequences with a tag for each step, and long tables of them, to arrays and lists of strings."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from recurra.errors import DataError

from .frames import names_of
from .inputs import Arrays, as_sequences
from .sentences import as_list, as_tags

STEPS = ("sequences", "steps")
"""What a sequence and a step of numbers are, in error messages."""
NUMBERS = "biuf"
"""Kinds of numpy types that are numbers."""

Tags = list[list[str | None]]


def holds_steps(X: Any) -> bool:
    """Returns whether `X` holds numeric sequences; the first sequence that has steps decides.

    Example:
        >>> holds_steps([[], [0.5, 1.5]]), holds_steps([["a", "sentence"]])
        (True, False)
    """
    if isinstance(X, Arrays) or _is_long(X) or _has_numbers(X):
        return True
    rows = None if isinstance(X, str | bytes) else as_list(X)
    if not isinstance(rows, list):
        return False
    for row in rows:
        if isinstance(row, str):
            return False
        if names_of(row) is not None or _has_numbers(row):
            return True
        if isinstance(row, list | tuple) and row:
            return isinstance(row[0], Real | list | tuple) or _has_numbers(row[0])
    return False


def as_steps(X: Any, y: Any = None, name: str = "y") -> tuple[Arrays, Tags | None]:
    """Converts numeric sequences, and a tag for each of their steps.

    Args:
        X: see `as_sequences`; or a pandas data frame whose index, which has a name, is the sequence of each row.
        y: a list of tags for each sequence; of a data frame also one tag for each row. None for no tags.
        name: name of `y` in error messages.

    Returns:
        The sequences, in the order in which they begin in a data frame; and their tags.

    Raises:
        DataError: `X` holds no numbers, or there are not as many tags as steps.

    Example:
        >>> import pandas as pd
        >>> log = pd.DataFrame({"pump": ["A", "B", "A"], "flow": [4.0, 7.0, 5.0], "state": ["ok", "worn", "ok"]})
        >>> sequences, tags = as_steps(log.set_index("pump")[["flow"]], log["state"])
        >>> [row.tolist() for row in sequences.rows], tags
        ([[[4.0], [5.0]], [[7.0]]], [['ok', 'ok'], ['worn']])
    """
    if _is_long(X):
        rows = _rows_of_sequences(X)
        X = [X.iloc[places] for places in rows]
        if y is not None and _is_flat(y):
            tags = np.empty(len(y), object)
            tags[:] = list(y)
            count = sum(map(len, rows))
            if len(tags) != count:
                raise DataError(f"X has {count:,} rows but {name} has {len(tags):,} tags; they must pair up")
            y = [tags[places].tolist() for places in rows]
    sequences = as_sequences(X)
    if not isinstance(sequences, Arrays):
        kind = "recordings" if sequences.kind == "audio" else "texts"
        raise DataError(f"the model takes numeric sequences, X holds {kind}")
    return sequences, None if y is None else as_tags(y, sequences.rows, name, STEPS)


def _is_long(X: Any) -> bool:
    """Returns whether `X` is a pandas data frame."""
    return type(X).__module__.partition(".")[0] == "pandas" and getattr(X, "ndim", 0) == 2


def _has_numbers(values: Any) -> bool:
    """Returns whether an object is an array or a tensor of numbers."""
    return hasattr(values, "detach") or getattr(getattr(values, "dtype", None), "kind", "") in tuple(NUMBERS)


def _is_flat(y: Any) -> bool:
    """Returns whether `y` has one tag for each row of a table, in place of lists of tags."""
    return not any(isinstance(tags, list | tuple | np.ndarray) for tags in y)


def _rows_of_sequences(frame: Any) -> Sequence[np.ndarray]:
    """Returns the positions of the rows of each sequence.

    Raises:
        DataError: the index does not name sequences.
    """
    index = frame.index.get_level_values(0)
    if index.name is None:
        raise DataError("X is a table whose index has no name; make the column of ids the index: X.set_index(column)")
    codes = index.factorize()[0]
    if (codes < 0).any():
        raise DataError(f"the index of X is missing in row {int((codes < 0).argmax())}: it names the sequence")
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []
