"""Converts sentences and their tags of any type to lists of lists of strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recurra.errors import DataError

from .inputs import is_missing_value

WORDS = ("sentences", "words")
"""What a sequence and a step of a text are."""


def as_sentences(X: Any) -> list[list[str]]:
    """Converts `X` to sentences.

    Args:
        X: a list, array, pandas or Arrow column of sentences. A sentence is a sequence of words, or a text that is
            split at white space.

    Raises:
        DataError: `X` has another type. The message names sentence and word.

    Example:
        >>> as_sentences([["New York", "sleeps"], "so does Rome"])
        [['New York', 'sleeps'], ['so', 'does', 'Rome']]
    """
    if isinstance(X, str | bytes):
        raise DataError("X is one text; pass a list of sentences, such as [text] or [[word, word]]")
    rows = as_list(X)
    if not isinstance(rows, list) or not rows:
        raise DataError("X is empty: there is nothing to learn from or to predict")
    return [_words(row, i) for i, row in enumerate(rows)]


def as_tags(y: Any, rows: Sequence[Any], name: str, of: tuple[str, str] = WORDS) -> list[list[str | None]]:
    """Converts tags to one list for each sequence, with None for a missing one.

    Args:
        y: the tags.
        rows: the sequences.
        name: name of `y` in error messages.
        of: what a sequence and a step are, in error messages.

    Raises:
        DataError: there are not as many tags as steps.
    """
    given = as_list(y)
    if not isinstance(given, list) or len(given) != len(rows):
        count = f"{len(given):,} lists of tags" if isinstance(given, list) else "no tags"
        raise DataError(f"X has {len(rows):,} {of[0]} but {name} has {count}; they must pair up")
    found: list[list[str | None]] = []
    for i, (row, steps) in enumerate(zip(given, rows, strict=True)):
        tags = as_list(row)
        if not isinstance(tags, list):
            raise DataError(f"{name}[{i}] is no list of tags but {type(row).__name__}: {row!r:.60}", i)
        if len(tags) != len(steps):
            raise DataError(f"X[{i}] has {len(steps)} {of[1]} but {name}[{i}] has {len(tags)} tags", i)
        found.append([None if is_missing_value(tag) or tag == "" else str(tag) for tag in tags])
    return found


def _words(row: Any, i: int) -> list[str]:
    if isinstance(row, str):
        return row.split()
    words = [] if is_missing_value(row) else as_list(row)
    if not isinstance(words, list):
        raise DataError(f"X[{i}] is no list of words but {type(row).__name__}: {row!r:.60}", i)
    for j, word in enumerate(words):
        if not isinstance(word, str):
            raise DataError(f"X[{i}][{j}] is no word but {type(word).__name__}: {word!r:.60}", i)
    return [str(word) for word in words]


def as_list(rows: Any) -> Any:
    """Converts arrays, columns of pandas and Arrow, and tuples to lists."""
    for name in ("to_pylist", "tolist"):
        if hasattr(rows, name):
            return getattr(rows, name)()
    return list(rows) if isinstance(rows, tuple | list) else rows
