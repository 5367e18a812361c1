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
