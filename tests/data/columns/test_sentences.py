"""Sentences and their tags as lists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recurra.data.columns.sentences import as_sentences, as_tags
from recurra.errors import DataError


@pytest.mark.parametrize(
    "X",
    [
        [["New York", "sleeps"], ["so", "do", "I"], []],
        [("New York", "sleeps"), "so do I", ""],
        [np.array(["New York", "sleeps"]), np.array(["so", "do", "I"]), np.array([], str)],
        pa.array([["New York", "sleeps"], ["so", "do", "I"], None]),
        pa.chunked_array([[["New York", "sleeps"], ["so", "do", "I"], []]]),
        pd.Series([["New York", "sleeps"], "so do I", None]),
        np.array([["New York", "sleeps"], ["so", "do", "I"], []], dtype=object),
    ],
)
def test_sentences_of_every_kind(X):
    assert as_sentences(X) == [["New York", "sleeps"], ["so", "do", "I"], []]


@pytest.mark.parametrize(
    ("X", "message"),
    [("a text", "X is one text"), ([], "X is empty"), (None, "X is empty"), ([3], r"X\[0\] is no list of words"),
     ([["a"], ["b", 3.0]], r"X\[1\]\[1\] is no word but float")],
)  # fmt: skip
def test_other_sentences_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        as_sentences(X)


def test_tags():
    words = [["a", "b"], ["c"], []]
    assert as_tags([["X", None], [3], []], words, "y") == [["X", None], ["3"], []]
    assert as_tags([["X", float("nan")], [""], []], words, "y") == [["X", None], [None], []]
    assert as_tags(pa.array([["X", "Y"], [None], []]), words, "y") == [["X", "Y"], [None], []]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["X", "Y"]], "3 sentences but y has 1 lists of tags"),
        (None, "3 sentences but y has no tags"),
        ([["X"], ["Y"], []], r"X\[0\] has 2 words but y\[0\] has 1 tags"),
        ([["X", "Y"], "Z", []], r"y\[1\] is no list of tags but str"),
    ],
)
def test_other_tags_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        as_tags(y, [["a", "b"], ["c"], []], "y")


def test_the_row_of_an_error_is_known():
    for call in (lambda: as_sentences([["a"], 3]), lambda: as_sentences([["a"], [3]])):
        with pytest.raises(DataError) as error:
            call()
        assert error.value.row == 1
    for tags in ([["X", "Y"], "Z"], [["X", "Y"], ["Z", "Z"]]):
        with pytest.raises(DataError) as error:
            as_tags(tags, [["a", "b"], ["c"]], "y")
        assert error.value.row == 1


def test_other_kinds_of_rows():
    assert as_sentences([["a"], None, float("nan"), pd.NA]) == [["a"], [], [], []]
    assert as_sentences((["a"], ("b",))) == [["a"], ["b"]]
    assert as_sentences([" a  b\tc "]) == [["a", "b", "c"]]
    for X in (b"text", 3, {"a"}, iter([["a"]])):
        with pytest.raises(DataError):
            as_sentences(X)
    found = as_sentences([np.array(["a"])])[0][0]
    assert type(found) is str
    assert as_tags([("X",), [None], [0]], [["a"], ["b"], ["c"]], "y") == [["X"], [None], ["0"]]
    with pytest.raises(DataError, match=r"^X has 1 sentences but tags has 2 lists of tags; they must pair up$"):
        as_tags([["X"], ["Y"]], [["a"]], "tags")
