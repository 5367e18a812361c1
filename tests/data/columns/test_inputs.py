"""What is accepted as X and y, and how it is recognised."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from recurra.data.columns import inputs
from recurra.data.columns.inputs import (
    Arrays,
    Texts,
    as_column,
    as_sequences,
    is_empty,
    is_missing,
    is_missing_value,
)
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


# one value or text, and other things without an order


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (b"bytes", "X is one text"),
        (None, "^X is None; pass one sequence for each row$"),
        ({"a": 1}, "^X is a dictionary; pass a list or an array$"),
        ({1, 2}, "^X is a set, which has no order; pass a list or an array$"),
        (frozenset(["a"]), "a set, which has no order"),
        (scipy.sparse.eye(3), r"^X is a sparse matrix; call toarray\(\) first$"),
        (3.5, "^X is one value of type float; pass a list of texts"),
        (np.float64(1), "^X is one value of type "),
        (np.array("text"), "X is one value of type ndarray"),
        (torch.tensor(1.0), "2 axes|one value"),
        (np.ones((2, 2, 2, 2)), "not 4"),
        (np.array([[1j]]), "X holds complex numbers"),
        (np.array([["2024-01-01"]], "datetime64[D]"), "X holds times"),
        ([np.array([1j])], r"X\[0\] holds complex numbers"),
        ([np.array(["2024-01-01"], "datetime64[D]")], r"X\[0\] holds times"),
        ([np.float64(1)], r"X\[0\] has shape \(\)"),
        ([object()], r"X\[0\] is neither a text nor numbers"),
        ([np.ones(2), np.ones((2, 2))], r"X\[1\] has 2 features where the first sequence has 1"),
        ([np.ones((2, 3)), np.ones(2)], r"X\[1\] has 2 features where the first sequence has 3"),
        (["a", None, 3.0], r"X\[2\] is not a text but float"),
    ],
)
def test_what_has_no_order_or_no_numbers_is_named(X, message):
    with pytest.raises(DataError, match=message):
        as_sequences(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None$"),
        ("text", "^y is one text; pass a list or an array$"),
        (b"text", "^y is one text; pass a list or an array$"),
        (3, "^y is one value, 3; pass one value for each of 2 sequences$"),
        ([[1], [1, 2]], "^y holds lists of unequal length: 1 values in row 0, 2 in row 1; "),
        ([[1, 2], [1, 2], [1]], "2 values in row 0, 1 in row 2; "),
        ([1, [1, 2]], "1 values in row 0, 2 in row 1; "),
        (np.array([1j, 2]), "y holds complex numbers"),
        ([1], "X has 2 sequences but y has 1 values; they must pair up"),
    ],
)
def test_columns_that_do_not_pair_up_are_named(y, message):
    with pytest.raises(DataError, match=message):
        as_column(y, 2, "y")


def test_columns_of_every_kind():
    assert as_column(iter([1, 2]), 2, "y").tolist() == [1, 2]
    mixed = as_column(["a", 1], 2, "y")
    assert (mixed.dtype, mixed.tolist()) == (object, ["a", 1])
    assert as_column(("a", None), 2, "y").tolist() == ["a", None]
    assert as_column(["a", "b"], 2, "y").dtype.kind == "U"
    assert as_column([1, 2], 2, "y").dtype.kind == "i"
    assert as_column(np.array([[1, 2], [3, 4]]), 2, "y").shape == (2, 2)
    assert as_column(np.array([[[1]], [[2]]]), 2, "y").shape == (2, 1, 1)
    assert as_column(torch.tensor([1.5, 2.5]), 2, "y").tolist() == [1.5, 2.5]
    assert as_column(pd.Series([1, 2], name="y"), 2, "y").tolist() == [1, 2]


def test_a_mask_is_a_missing_value():
    numbers = as_column(np.ma.array([1, 2], mask=[False, True]), 2, "y")
    np.testing.assert_array_equal(numbers, [1.0, np.nan])
    assert as_column(np.ma.array(["a", "b"], mask=[True, False]), 2, "y").tolist() == [None, "b"]
    whole = as_column(np.ma.array([1, 2]), 2, "y")
    assert (type(whole), whole.dtype, whole.tolist()) == (np.ndarray, np.int64, [1, 2])
    found = as_sequences(np.ma.array([[1.0, 2.0]], mask=[[False, True]]))
    np.testing.assert_array_equal(found.rows[0], [[1.0], [np.nan]])


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.eye(2).to_sparse(), "a tensor is torch.sparse_coo; pass a dense tensor"),
        (torch.empty(2, 2, device="meta"), "a tensor is on the device meta; "),
    ],
)
def test_tensors_without_numbers_are_refused(tensor, message):
    with pytest.raises(DataError, match=message):
        as_sequences(tensor)


def test_tensors_of_every_kind():
    values = torch.tensor([[1.0, 2.0]], requires_grad=True)
    assert as_sequences(values).rows[0].tolist() == [[1.0], [2.0]]
    assert as_sequences(torch.tensor([[1.5, 2.0]], dtype=torch.bfloat16)).rows[0].tolist() == [[1.5], [2.0]]
    assert as_sequences(torch._neg_view(torch.tensor([[1.0]]))).rows[0].tolist() == [[-1.0]]
    kinds = [as_sequences(torch.ones(1, 2, dtype=kind)).rows[0].dtype for kind in (torch.float32, torch.float16)]
    assert kinds == [np.float32, np.float64]
    with pytest.raises(DataError, match="a tensor is nested"):
        as_sequences(torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged))


def test_columns_and_frames_with_the_arrow_stream_interface_are_read():
    assert all_texts(as_sequences(pl.Series(TEXTS))) == TEXTS
    assert all_texts(as_sequences(pl.DataFrame({"text": TEXTS}))) == TEXTS
    assert as_column(pl.DataFrame({"y": [1, 2]}), 2, "y").tolist() == [1, 2]
    with pytest.raises(DataError, match=r"several columns \(a, b\)"):
        as_sequences(pl.DataFrame({"a": TEXTS, "b": TEXTS}))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_arrow_texts_of_every_kind(kind):
    assert as_sequences(pa.array(TEXTS, kind)).kind == "text"
    coded = pa.array([0, 1, 2], pa.int8())
    column = pa.DictionaryArray.from_arrays(coded, pa.array(TEXTS, kind if kind != pa.string_view() else pa.string()))
    assert all_texts(as_sequences(column)) == TEXTS


# data frames as sequences


def test_features_of_data_frames_are_ordered_by_their_names():
    frames = [pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"b": [3.0, 4.0], "a": [5.0, 6.0]})]
    found = as_sequences(frames)
    assert found.names == ("a", "b")
    assert [row.tolist() for row in found.rows] == [[[1, 2]], [[5, 3], [6, 4]]]
    swapped = found.in_order_of(("b", "a"))
    assert (swapped.names, swapped.features) == (("b", "a"), 2)
    assert [row.tolist() for row in swapped.rows] == [[[2, 1]], [[3, 5], [4, 6]]]
    assert found.in_order_of(("a", "b")) is found
    assert found.in_order_of(["a", "b"]) is found
    assert found.in_order_of(None) is found
    plain = as_sequences([np.ones((1, 2))])
    assert plain.in_order_of(("b", "a")) is plain
    part = found[1:]
    assert (len(part), part.names, part.features) == (1, ("a", "b"), 2)
    with pytest.raises(DataError, match="X lacks c and has the unknown b"):
        found.in_order_of(("a", "c"))


def test_names_are_given_to_all_sequences_or_to_none():
    frame, array = pd.DataFrame({"a": [1.0]}), np.ones((1, 1))
    with pytest.raises(DataError, match=r"X\[1\] has no column names, unlike X\[0\]; give all or none"):
        as_sequences([frame, array])
    with pytest.raises(DataError, match=r"X\[1\] has column names, unlike X\[0\]; give all or none"):
        as_sequences([array, frame])
    with pytest.raises(DataError, match=r"X\[1\] lacks a and has the unknown b"):
        as_sequences([frame, pd.DataFrame({"b": [1.0]})])


def test_arrow_tables_are_sequences():
    found = as_sequences([pa.table({"a": [1, 2], "b": [3.0, 4.0]}), pa.table({"b": [5.0], "a": [6]})])
    assert found.names == ("a", "b")
    assert [row.tolist() for row in found.rows] == [[[1, 3], [2, 4]], [[6, 5]]]
    assert as_sequences([pa.table({})]).rows[0].shape[0] == 0


def test_empty_sequences_take_the_width_of_the_others():
    assert as_sequences([[], [[1.0, 2.0]]]).rows[0].shape == (0, 2)
    assert as_sequences([np.zeros((0, 3)), []]).features == 3
    assert as_sequences([[], []]).features == 1
    assert as_sequences(np.zeros((2, 0))).rows[0].shape == (0, 1)
    assert as_sequences(np.zeros((2, 0, 3))).rows[0].shape == (0, 3)
    assert as_sequences(np.zeros((0, 2, 3))).features == 3


def test_kinds_of_numbers():
    kinds = [as_sequences(np.ones((1, 2), kind)).rows[0].dtype for kind in ("f4", "f8", "f2", "i4", "?", "u1")]
    assert kinds == [np.float32] + [np.float64] * 5
    assert [(x.kind, len(x)) for x in (Texts(["a"]), Arrays([], 1))] == [("text", 1), ("series", 0)]
    assert Arrays([], 2).names is None


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_chunks_of_any_size_hold_the_same(monkeypatch, size):
    assert inputs.CHUNK_ROWS == 4096
    monkeypatch.setattr(inputs, "CHUNK_ROWS", size)
    texts, arrays = [str(i) for i in range(7)], [np.full((1, 1), i) for i in range(7)]
    keep = np.array([True, False, True, True, False, False, True])
    for rows in (texts, pa.chunked_array([texts[:2], texts[2:]])):
        chunks = list(Texts(rows).chunks())
        assert [len(chunk) for chunk in chunks] == {1: [1] * 7, 3: [3, 3, 1], 4096: [7]}[size]
        assert [text for chunk in chunks for text in chunk] == texts
        assert [text for chunk in Texts(rows).chunks(keep) for text in chunk] == ["0", "2", "3", "6"]
    assert [int(row[0, 0]) for chunk in Arrays(arrays, 1).chunks() for row in chunk] == list(range(7))
    assert [int(row[0, 0]) for chunk in Arrays(arrays, 1).chunks(keep) for row in chunk] == [0, 2, 3, 6]
    assert [len(chunk) for chunk in Arrays(arrays, 1).chunks()] == {1: [1] * 7, 3: [3, 3, 1], 4096: [7]}[size]


def test_missing_values_of_every_kind():
    for value in (None, float("nan"), np.float32("nan"), pd.NA, pd.NaT):
        assert is_missing_value(value)
    for value in ("", "nan", 0, 1.0, [], np.inf):
        assert not is_missing_value(value)
    assert is_missing(np.array([1 + 0j, complex("nan")])).tolist() == [False, True]
    assert is_missing(np.array([[1.0, 2.0], [np.nan, 1.0]])).tolist() == [False, True]
    assert is_missing(np.array([b"", b"a"])).tolist() == [False, False]
    assert is_missing(np.array([True, False])).tolist() == [False, False]


def test_empty_values():
    assert is_empty([])
    assert is_empty(np.zeros(0))
    assert not is_empty([0])
    assert not is_empty(3)


def test_an_infinite_value_is_named_with_its_place():
    rows = [np.zeros((2, 2)), np.array([[0.0, 0.0], [1.0, -np.inf]])]
    with pytest.raises(DataError, match=r"X\[1\], step 1, feature 1 is -inf, not a finite number") as error:
        as_sequences(rows)
    assert error.value.row == 1
    with pytest.raises(DataError, match=r"X\[0\], step 1, feature 0 is inf"):
        as_sequences(np.array([[0.0, np.inf]]))


@pytest.mark.parametrize("value", [Texts([]), Arrays([], 1)], ids=lambda value: type(value).__name__)
def test_sequences_do_not_change(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
