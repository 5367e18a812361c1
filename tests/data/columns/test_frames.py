"""Data frames and tables of other libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recurra.data.columns.frames import as_table, names_of, only_column, order_of, refuse_complex, refuse_times
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
