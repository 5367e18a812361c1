"""Columns of categories: their detection, and a feature for each category."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute creates its functions at run time)

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra._util.messages import listed, shortened
from recurra.data.files.table import DataFile, decoded, is_text
from recurra.errors import DataError

from .numbers import COMMA_NUMBER, MISSING, NUMBER, parse_numbers
from .panel import Columns

MOST_CATEGORIES = 50
"""A column of texts with more different values, or with more than half as many as rows, does not hold categories."""


class NoCategoriesError(Exception):
    """A column holds neither numbers nor categories. The text says what it holds."""


def find_categories(column: Any, *, booleans: bool = False) -> list[str] | None:
    """Returns the categories in a column, in alphabetical order; None for a column of numbers.

    A column of texts holds categories if at most half of them are numbers.

    Args:
        column: an Arrow column.
        booleans: whether a column of truth values holds categories; else they are the numbers 0 and 1.

    Raises:
        NoCategoriesError: it holds lists, times, or too many different texts.

    Example:
        >>> find_categories(pa.array(["red", "white", "", "red"])), find_categories(pa.array(["1", "2", "x"]))
        (['red', 'white'], None)
    """
    column = decoded(column)
    if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise NoCategoriesError(f"has values of type {column.type}")
    if not is_text(column) and not (booleans and pa.types.is_boolean(column.type)):
        return None
    text = _text(column)
    numeric = pc.match_substring_regex(text, f"^(?:{NUMBER}|{COMMA_NUMBER})$")
    there = len(text) - text.null_count
    if 2 * (pc.sum(numeric).as_py() or 0) > there or not there:
        return None
    found = sorted(pc.unique(text).drop_null().to_pylist())
    if len(found) > min(MOST_CATEGORIES, max(len(text) // 2, 2)):
        raise NoCategoriesError(f"has {len(found):,} different texts, such as {shortened(found[0])}")
    return found


def categories_of(
    file: DataFile, i: int, name: str, known: Mapping[str, Sequence[str]] | None, *, booleans: bool = False
) -> list[str] | None:
    """Returns the categories of a column of a table; None for a column of numbers.

    Args:
        file: the table.
        i: position of the column.
        name: its name in the training data.
        known: the categories of the columns that have them in the training data; None to find them.
        booleans: see `find_categories`.

    Raises:
        DataError: the column holds neither numbers nor categories.
    """
    if known is not None:
        return list(known[name]) if name in known else None
    try:
        return find_categories(file.table.column(i), booleans=booleans)
    except NoCategoriesError as error:
        raise DataError(f"{file.path.name}: column {name} {error}: these are neither numbers nor categories") from None


def features_of(
    file: DataFile, i: int, name: str, known: Sequence[str] | None, notes: list[str]
) -> dict[str, np.ndarray]:
    """Returns the features of a column by their names: its numbers, or for each category 1 where a row has it, else 0.

    A missing category is 0 for all categories, and so is one that is not known.

    Args:
        file: the table.
        i: position of the column.
        name: its name in the training data.
        known: its categories in the training data; None for a column of numbers.
        notes: a note on categories that are not known is added.

    Raises:
        DataError: a cell is not a number.
    """
    here = file.table.column_names[i]
    if known is None:
        return {name: parse_numbers(file.table.column(i), name=here, where=file.where)}
    text = _text(decoded(file.table.column(i)))
    other = pc.unique(pc.filter(text, pc.invert(pc.is_in(text, pa.array(known, pa.large_string()))))).drop_null()
    if len(other):
        some = listed(list(map(shortened, other.to_pylist())), 3)
        notes.append(f"column {here} has texts that were not in the training data ({some}): they count as missing")
    return {
        f"{name}={category}": np.asarray(pc.fill_null(pc.equal(text, category), False)).astype(np.float64)
        for category in known
    }


def with_categories(
    file: DataFile, columns: Columns, known: Mapping[str, Sequence[str]] | None
) -> tuple[pa.Table, Columns, dict[str, list[str]], list[str]]:
    """Replaces columns of categories among the features and known columns by a column of 0 and 1 for each category.

    Args:
        file: the table, with the columns `columns.names` in this order.
        columns: their roles.
        known: the categories of the training data; None to detect them.

    Returns:
        The table, the roles of its columns, the categories, and notes for the user.

    Raises:
        DataError: a column holds neither numbers nor categories.
    """
    table, kinds, notes, made = file.table, dict[str, list[str]](), list[str](), dict[str, tuple[str, ...]]()
    first = len(columns.names) - len(columns.features) - len(columns.known)
    for i, name in enumerate(columns.names[first:], first):
        kind = categories_of(file, i, name, known)
        if kind is None:
            continue
        found = features_of(file, i, name, kind, notes)
        at, kinds[name], made[name] = table.column_names.index(file.table.column_names[i]), list(kind), tuple(found)
        table = table.remove_column(at)
        for place, (feature, values) in enumerate(found.items(), at):
            table = table.add_column(place, feature, pa.array(values))
    features, ahead = (
        tuple(chain.from_iterable(made.get(name, (name,)) for name in names))
        for names in (columns.features, columns.known)
    )
    return table, dataclasses.replace(columns, features=features, known=ahead), kinds, notes


def without_categories(columns: Columns, categories: Mapping[str, Sequence[str]]) -> Columns:
    """Returns the columns of the table: the reverse of `with_categories`.

    Example:
        >>> without_categories(Columns(None, ("y",), ("sky=dry", "sky=wet", "wind")), {"sky": ["dry", "wet"]}).features
        ('sky', 'wind')
    """
    origin = {f"{name}={category}": name for name, kind in categories.items() for category in kind}
    features, known = (
        tuple(dict.fromkeys(origin.get(name, name) for name in names)) for names in (columns.features, columns.known)
    )
    return dataclasses.replace(columns, features=features, known=known)


def _text(column: Any) -> Any:
    """Returns values as texts without surrounding spaces; missing values are null."""
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.large_string()))
    return pc.if_else(pc.is_in(pc.utf8_lower(text), pa.array(MISSING, pa.large_string())), None, text)
