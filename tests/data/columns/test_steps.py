"""Numeric sequences with a tag for each step: which data they are, and tables with one row per step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from recurra.data.columns.steps import as_steps, holds_steps
from recurra.errors import DataError

LOG = pd.DataFrame({"run": ["b", "a", "b"], "x": [1.0, 2.0, None], "y": [4, 5, 6], "state": ["on", "off", "off"]})
FEATURES = LOG.set_index("run")[["x", "y"]]


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ([np.zeros((2, 1))], True),
        (np.zeros((2, 3, 1)), True),
        ([[], [1.0, 2.0]], True),
        ([[[1.0, 2.0]]], True),
        ([[np.float32(1)]], True),
        ([LOG[["x"]]], True),
        ([torch.zeros(3, 2)], True),
        (FEATURES, True),
        (pd.Series([[1.0], [2.0, 3.0]]), True),
        (pa.chunked_array([[[1.0], [2.0]]]), True),
        (pa.chunked_array([[["a"], ["b"]]]), False),
        (pd.Series(["a b"]), False),
        ([["a"]], False),
        (["a b"], False),
        (np.array([["a", "b"]]), False),
        ([[], []], False),
        (None, False),
    ],
)
def test_which_data_are_numbers(X, expected):
    assert holds_steps(X) == expected


@pytest.mark.parametrize("y", [LOG["state"], ["on", "off", "off"], [["on", "off"], ["off"]]])
def test_rows_of_a_table_are_sorted_by_their_sequence(y):
    sequences, tags = as_steps(FEATURES, y)
    assert sequences.names == ("x", "y")
    np.testing.assert_array_equal(sequences.rows[0], [[1, 4], [np.nan, 6]])
    np.testing.assert_array_equal(sequences.rows[1], [[2, 5]])
    assert tags == [["on", "off"], ["off"]]
    assert as_steps(FEATURES)[1] is None


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (LOG[["x", "y"]], None, "index has no name; make the column of ids the index"),
        (FEATURES.set_axis(pd.Index(["a", None, "a"], name="run")), None, "missing in row 1"),
        (FEATURES, ["on"], "X has 3 rows but y has 1 tags"),
        ([np.zeros((2, 1))], [["on"]], r"X\[0\] has 2 steps but y\[0\] has 1 tags"),
        ([np.zeros((2, 1))], [], "X has 1 sequences but y has 0 lists"),
        (["a text"], None, "takes numeric sequences, X holds texts"),
    ],
)
def test_wrong_data(X, y, message):
    with pytest.raises(DataError, match=message):
        as_steps(X, y)
