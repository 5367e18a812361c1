"""Pairs of texts from two columns."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from recurra.data.columns.pairs import as_pairs, source_groups
from recurra.errors import DataError


def test_composed_and_single_letters_are_the_same_source():
    assert source_groups(["가", "\u1100\u1161"]).tolist() == [0, 0]


def test_pairs_of_arrow_columns_with_missing_texts():
    pairs = as_pairs(pa.array(["a ", None, "b"]), pa.array(["1", "2", "3"]))
    assert (pairs.sources, pairs.targets, pairs.left_out) == (["a", "b"], ["1", "3"], 1)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["a"], None, "translations are missing"),
        (["a"], [[1.0]], "y holds numbers"),
        (["a", "b"], ["1"], "X has 2 texts but y has 1"),
        (["a", ""], [" ", "1"], "every pair has an empty side"),
    ],
)
def test_columns_that_are_no_pairs(X, y, message):
    with pytest.raises(DataError, match=message):
        as_pairs(X, y)


def test_pairs_lose_space_and_empty_sides():
    pairs = as_pairs([" a ", "b", " ", "c"], ["1", "", "2", " 3"])
    assert (pairs.sources, pairs.targets, pairs.left_out, len(pairs)) == (["a", "c"], ["1", "3"], 2, 2)
    assert pairs.groups().tolist() == [0, 1]
    assert as_pairs(["a"], ["1"]).left_out == 0
    assert source_groups(["a", "b", "a ", "c", "b"]).tolist() == [0, 1, 0, 2, 1]
    assert source_groups([]).dtype == "int64"
    with pytest.raises(DataError, match="X holds numbers"):
        as_pairs([[1.0]], ["a"])


@pytest.mark.parametrize("value", [as_pairs(["a"], ["b"])], ids=lambda value: type(value).__name__)
def test_pairs_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
