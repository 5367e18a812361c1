"""Finds names that are similar to a mistyped one: columns, files, commands and options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath

LEAST = 0.7
"""Minimum similarity (`difflib`). Upper case, leading dashes and file suffixes are ignored."""


def similar_names(name: str, known: Iterable[str]) -> list[str]:
    """Returns at most three known names that are similar to a mistyped one, the most similar first.

    Args:
        name: the mistyped name.
        known: the names that exist.

    Example:
        >>> similar_names("lable", ["text", "label"]), similar_names("a.csv", ["b.csv"])
        (['label'], [])
    """
    by_plain: dict[str, str] = {}
    for other in known:
        by_plain.setdefault(_plain(other), other)
    return [by_plain[plain] for plain in difflib.get_close_matches(_plain(name), by_plain, 3, LEAST)]


def _plain(name: str) -> str:
    return PurePath(name.lstrip("-").casefold()).stem
