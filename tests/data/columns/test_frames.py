"""Data frames and tables of other libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from recurra.data.columns.frames import (
    as_table,
    from_pandas,
    matrix_of,
    names_of,
    only_column,
    order_of,
    refuse_complex,
    refuse_times,
)
from recurra.errors import DataError


@pytest.mark.parametrize("values", [np.array([1j]), np.array([1.0, 2j], object), np.array([None, np.complex64(1j)])])
def test_complex_numbers_are_refused_in_any_array(values):
    with pytest.raises(DataError, match="X holds complex numbers"):
        refuse_complex(values, "X")


def test_real_numbers_are_not_complex():
    for values in (np.array([1.0]), np.array([1, None, "text"], object), np.array([], object)):
        refuse_complex(values, "X")


@pytest.mark.parametrize("values", [np.array(["2024-01-01"], "datetime64[D]"), np.array([1], "timedelta64[s]")])
def test_times_are_refused_as_numbers(values):
    with pytest.raises(DataError, match="X holds times"):
        refuse_times(values, "X")


def test_a_dictionary_of_columns_is_a_table():
    table, index = as_table({"a": [1, 2], "b": ["x", "y"]})
    assert (table.to_pydict(), index) == ({"a": [1, 2], "b": ["x", "y"]}, None)


def test_an_index_of_dates_never_replaces_a_column():
    days = pd.date_range("2024-01-01", periods=2)
    table, index = as_table(pd.DataFrame({"time": [1, 2], "index": [3, 4]}, index=days))
    assert (index, table.column_names) == ("date index", ["time", "index", "date index"])
    with pytest.raises(DataError, match="the index and a column are both named"):
        as_table(pd.DataFrame({"day": [1, 2]}, index=days.rename("day")))


def test_only_one_column():
    assert only_column(pa.table({"a": [1]})).to_pylist() == [1]
    with pytest.raises(DataError, match=r"several columns \(a, b\)"):
        only_column(pa.table({"a": [1], "b": [2]}))


def test_names_and_their_order():
    assert names_of(pa.table({"a": [1], "b": [2]})) == ("a", "b")
    assert names_of(np.zeros((2, 2))) is None
    assert order_of(("a", "b"), ("b", "a"), "X") == [1, 0]
    with pytest.raises(DataError, match="X lacks b and has the unknown c"):
        order_of(("a", "c"), ("a", "b"), "X")
    with pytest.raises(DataError, match='two columns have the name "a"'):
        names_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_pandas_series_and_frames_become_arrays():
    assert from_pandas(pd.Series([1, 2])).tolist() == [1, 2]
    assert from_pandas(pd.DataFrame({"a": ["x", "y"]})).tolist() == ["x", "y"]
    assert from_pandas(pd.DataFrame({"a": [1, 2], "b": [3.5, np.nan]})).tolist()[0] == [1.0, 3.5]
    with pytest.raises(DataError, match="complex numbers"):
        from_pandas(pd.DataFrame({"a": [1j], "b": [1.0]}))
    many = pd.DataFrame({f"c{i}": ["x"] for i in range(12)})
    with pytest.raises(DataError, match=r"several columns \(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9\); pass"):
        from_pandas(many)
    with pytest.raises(DataError, match=r"several columns \(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9\); pass"):
        only_column(pa.Table.from_pandas(many))
    with pytest.raises(DataError, match="several columns"):
        only_column(pa.table({}))


def test_numbers_of_a_frame_keep_single_precision():
    kinds = [
        ({"a": np.float32([1]), "b": np.float32([2])}, np.float32),
        ({"a": np.float32([1]), "b": np.float64([2])}, np.float64),
        ({"a": np.int32([1]), "b": np.int32([2])}, np.float64),
        ({"a": [True], "b": [False]}, np.float64),
        ({"a": pd.array([1.5], "Float32"), "b": pd.array([None], "Float32")}, np.float32),
        ({"a": pd.array([1], "Int64"), "b": pd.array([None], "Int64")}, np.float64),
    ]
    for columns, kind in kinds:
        found = matrix_of(pd.DataFrame(columns), "X")
        assert (found.dtype, found.shape) == (kind, (1, 2))
    np.testing.assert_array_equal(found, [[1, np.nan]])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["x", 1], 'X holds texts in the column "b"'),
        (pd.to_datetime(["2024-01-01"] * 2), 'X holds times in the column "b"'),
        (pd.to_timedelta([1, 2], unit="s"), 'X holds times in the column "b"'),
        ([1j, 2j], "X holds complex numbers"),
    ],
)
def test_columns_of_a_frame_that_are_no_numbers_are_named(column, message):
    with pytest.raises(DataError, match=message):
        matrix_of(pd.DataFrame({"a": [1, 2], "b": column}), "X")


def test_names_of_every_kind_of_frame():
    assert names_of(pd.DataFrame({1: [1], "b": [2]})) == ("1", "b")
    assert names_of(pl.DataFrame({"a": [1]})) == ("a",)
    assert names_of(pd.Series([1])) is None
    assert names_of(pl.Series([1])) is None
    assert names_of([1]) is None
    grid = xr.DataArray(np.zeros((2, 3)), dims=("time", "feature"), coords={"feature": ["a", "b", "c"]})
    assert names_of(grid) == ("a", "b", "c")
    assert names_of(grid[0]) is None
    assert names_of(xr.DataArray(np.zeros((2, 3)), dims=("time", "feature"))) is None
    assert names_of(xr.DataArray(np.zeros((2, 3)), dims=("time", "f"), coords={"time": [0, 1]})) is None
    assert names_of(xr.DataArray(np.zeros((2, 2, 1)), dims=("b", "t", "f"), coords={"f": ["a"]})) is None


def test_wrong_columns_are_listed_up_to_a_limit():
    given, wanted = [f"g{i}" for i in range(12)], [f"w{i}" for i in range(25)]
    with pytest.raises(DataError) as error:
        order_of(given, wanted, "X")
    assert str(error.value) == (
        f"X lacks {', '.join(wanted[:10])} and has the unknown {', '.join(given[:10])}; "
        f"the model's columns are {', '.join(wanted[:20])}"
    )
    with pytest.raises(DataError, match=r"^X lacks b; the model"):
        order_of(("a",), ("a", "b"), "X")
    with pytest.raises(DataError, match=r"^X has the unknown b; the model"):
        order_of(("a", "b"), ("a",), "X")


def test_tables_of_every_kind():
    table = pa.table({"a": [1]})
    assert as_table(table) == (table, None)
    assert as_table(pl.DataFrame({"a": [1]}))[0].to_pydict() == {"a": [1]}
    assert as_table(pl.DataFrame({"a": [1]}))[1] is None
    for other in (pa.chunked_array([[1]]), [1], np.zeros(2), "text"):
        assert as_table(other) is None
    assert as_table(pd.Series([1, 2]))[0].to_pydict() == {"y": [1, 2]}
    assert as_table(pd.Series([1, 2], name="x"))[0].to_pydict() == {"x": [1, 2]}
    assert as_table(pd.Series([1, 2], name=0))[0].to_pydict() == {"0": [1, 2]}
    assert as_table(pd.DataFrame({"a": [1]}, index=["r"])) == (pa.table({"a": [1]}), None)


def test_levels_of_an_index_become_columns_where_they_are_wanted():
    index = pd.MultiIndex.from_arrays([["s", "t"], [1, 2]], names=["shop", "day"])
    frame = pd.DataFrame({"y": [5, 6]}, index=index)
    assert as_table(frame, ["shop", "y"])[0].to_pydict() == {"shop": ["s", "t"], "y": [5, 6]}
    assert as_table(frame)[0].to_pydict() == {"y": [5, 6]}
    both = pd.DataFrame({"y": [5], "shop": ["own"]}, index=pd.Index(["s"], name="shop"))
    assert as_table(both, ["shop"])[0].to_pydict() == {"y": [5], "shop": ["own"]}


def test_periods_are_the_times_at_which_they_begin():
    months = pd.period_range("2024-01", periods=2, freq="M")
    table, index = as_table(pd.DataFrame({"y": [1, 2]}, index=months.rename("month")))
    assert index == "month"
    wanted = [pd.Timestamp("2024-01-01").to_pydatetime(), pd.Timestamp("2024-02-01").to_pydatetime()]
    assert table["month"].to_pylist() == wanted
    table, index = as_table(pd.DataFrame({"p": months, "y": [1, 2]}))
    assert index is None
    assert table["p"].to_pylist() == wanted


def test_the_index_of_dates_has_a_name():
    days = pd.date_range("2024-01-01", periods=2)
    assert as_table(pd.DataFrame({"a": [1, 2]}, index=days))[1] == "time"
    assert as_table(pd.DataFrame({"time": [1, 2]}, index=days))[1] == "index"
    assert as_table(pd.DataFrame({"a": [1, 2]}, index=days.rename(7)))[1] == "7"
    same = pd.DataFrame({"day": days, "a": [1, 2]}, index=days.rename("day"))
    table, index = as_table(same)
    assert (index, table.column_names) == ("day", ["day", "a"])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1j]}), "column a holds complex numbers"),
        (pd.DataFrame({"a": [1, "x"]}), "the data frame mixes types"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the data frame cannot be read"),
    ],
)
def test_frames_that_arrow_cannot_hold(frame, message):
    with pytest.raises(DataError, match=message):
        as_table(frame)
