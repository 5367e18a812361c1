"""What is accepted as X and y, and how it is recognised."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from recurra.data.columns.inputs import Arrays, Texts, as_column, as_sequences, is_missing
from recurra.errors import DataError

TEXTS = ["좋은 영화", "", "bad"]


def all_texts(found: Texts | Arrays) -> list[str]:
    assert isinstance(found, Texts)
    return [text for chunk in found.chunks() for text in chunk]


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS),
        pd.DataFrame({"text": TEXTS}),
        pa.array(TEXTS),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
        pa.table({"text": TEXTS}),
        pa.array(TEXTS).dictionary_encode(),
        pd.Series(TEXTS, dtype="category"),
    ],
    ids=lambda X: type(X).__name__,
)
def test_texts(X):
    assert all_texts(as_sequences(X)) == TEXTS


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, np.nan])
def test_a_missing_text_is_empty(missing):
    assert all_texts(as_sequences(["a", missing])) == ["a", ""]
    assert all_texts(as_sequences([missing, missing])) == ["", ""]


def test_arrow_nulls_are_empty_texts():
    assert all_texts(as_sequences(pa.array(["a", None]))) == ["a", ""]


ROWS = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((0, 2)), np.array([[5.0, 6.0]])]


@pytest.mark.parametrize(
    "X",
    [
        ROWS,
        [row.tolist() for row in ROWS],
        [torch.tensor(row) for row in ROWS],
        np.array([*ROWS, None], dtype=object)[:3],
        pa.array([row.tolist() for row in ROWS]),
        pd.Series([row.tolist() for row in ROWS]),
    ],
    ids=["arrays", "lists", "tensors", "object array", "arrow lists", "pandas"],
)
def test_ragged_arrays(X):
    found = as_sequences(X)
    assert isinstance(found, Arrays)
    assert found.features == 2
    assert {row.dtype.name for row in found.rows} <= {"float32", "float64"}
    for row, expected in zip(found.rows, ROWS, strict=True):
        np.testing.assert_array_equal(row, expected.reshape(-1, 2))


def test_arrays_of_two_and_three_axes():
    assert as_sequences(np.ones((4, 5, 3))).rows[0].shape == (5, 3)
    assert as_sequences(np.ones((4, 5))).rows[0].shape == (5, 1)
    assert as_sequences(pd.DataFrame(np.ones((4, 5)))).rows[0].shape == (5, 1)
    assert as_sequences(torch.ones(4, 5, 3)).rows[0].shape == (5, 3)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("one text", "list of texts"),
        ([], "empty"),
        (["a", 3], r"X\[1\] is not a text but int"),
        ([[1.0], ["a"]], r"X\[1\] is neither"),
        ([np.ones((2, 2)), np.ones((2, 3))], r"X\[1\] has 3 features where the first sequence has 2"),
        ([np.ones((2, 2, 2))], r"shape \(2, 2, 2\)"),
        (np.ones(4), "2 axes"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "several columns"),
        (pa.table({"a": ["x"], "b": ["y"]}), "several columns"),
    ],
)
def test_what_is_not_a_sequence_is_named(X, message):
    with pytest.raises(DataError, match=message):
        as_sequences(X)


def test_chunks_keep_chosen_rows():
    found = Texts([str(i) for i in range(10_000)])
    keep = np.arange(10_000) % 3 == 0
    assert [t for chunk in found.chunks(keep) for t in chunk] == [str(i) for i in range(0, 10_000, 3)]


def test_columns_pair_up():
    assert as_column(pd.DataFrame({"y": [1, 2]}), 2, "y").tolist() == [1, 2]
    assert as_column(pa.array(["a", None]), 2, "y").tolist() == ["a", None]
    with pytest.raises(DataError, match="X has 3 sequences but y has 2"):
        as_column([1, 2], 3, "y")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1.0, np.nan]), [False, True]),
        (np.array(["a", ""]), [False, True]),
        (np.array(["a", None, np.nan, ""], dtype=object), [False, True, True, True]),
        (np.array([0, 1]), [False, False]),
        (np.array([[1.0, np.nan], [1.0, 2.0]]), [True, False]),
    ],
)
def test_missing_targets(values, expected):
    assert is_missing(values).tolist() == expected


def test_missing_values_are_counted_and_infinite_ones_refused():
    found = as_sequences([[1.0, None], [[float("nan")]], []])
    assert isinstance(found, Arrays)
    assert found.missing == 2
    assert as_sequences(found) is found
    with pytest.raises(DataError, match=r"X\[1\], step 1, feature 0 is inf") as error:
        as_sequences([[1.0], [0.0, float("inf")]])
    assert error.value.row == 1


def test_large_numbers_keep_their_digits():
    found = as_sequences([[37.5665351, 37.5665352]])
    assert isinstance(found, Arrays)
    assert np.diff(found.rows[0][:, 0]) == pytest.approx(1e-7, rel=1e-3)


def test_a_data_frame_without_columns_has_empty_sequences():
    assert [len(row) for row in as_sequences(pd.DataFrame(index=range(3))).rows] == [0, 0, 0]
