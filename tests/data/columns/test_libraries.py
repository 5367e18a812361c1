"""Data of other libraries: every form is read as the plain one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import narwhals as nw
import narwhals.stable.v1 as stable
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from recurra import Forecaster
from recurra.data.columns.frames import as_table
from recurra.data.columns.inputs import as_column, as_sequences
from recurra.errors import DataError

TEXTS = ["good film", "나쁜 영화", "so so"]
STEPS = np.arange(12.0).reshape(3, 4)
SERIES = [np.random.default_rng(i).normal(size=(i + 2, 2)) for i in range(3)]


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def in_duckdb(data: pa.Table) -> duckdb.DuckDBPyRelation:
    return duckdb.from_arrow(data)


LIBRARIES: dict[str, Callable[[pa.Table], Any]] = {
    "pandas": lambda data: data.to_pandas(),
    "pandas with Arrow types": lambda data: data.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_arrow,
    "duckdb": in_duckdb,
    "narwhals on pandas": lambda data: nw.from_native(data.to_pandas()),
    "narwhals on polars": lambda data: nw.from_native(pl.from_arrow(data)),
    "narwhals on arrow": nw.from_native,
    "narwhals, stable": lambda data: stable.from_native(pl.from_arrow(data)),
    "arrow": lambda data: data,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables(library):
    make = LIBRARIES[library]
    texts, numbers = make(table(text=TEXTS)), make(table(label=[3, 1, 2]))
    (found,) = as_sequences(texts).chunks()
    assert found == TEXTS
    assert as_column(numbers, 3, "y").tolist() == [3, 1, 2]
    rows = as_sequences(make(table(**{f"t{i}": STEPS[:, i] for i in range(4)}))).rows
    np.testing.assert_array_equal(np.stack(rows)[:, :, 0], STEPS)
    series = as_sequences([make(table(speed=row[:, 0], brake=row[:, 1])) for row in SERIES])
    for own, row in zip(series.rows, SERIES, strict=True):
        np.testing.assert_array_equal(own, row)
    converted = as_table(make(table(n=[1, 2, 3])))
    assert converted is not None
    assert converted[0].to_pydict() == {"n": [1, 2, 3]}


def test_arrays_of_xarray():
    for coords in ({}, {"feature": ["speed", "brake"]}):
        arrays = [xr.DataArray(row, dims=("time", "feature"), coords=coords) for row in SERIES]
        for own, row in zip(as_sequences(arrays).rows, SERIES, strict=True):
            np.testing.assert_array_equal(own, row)
    cube = np.random.default_rng(0).normal(size=(3, 5, 2))
    np.testing.assert_array_equal(np.stack(as_sequences(xr.DataArray(cube)).rows), cube)
    (found,) = as_sequences(xr.DataArray(np.array(TEXTS))).chunks()
    assert found == TEXTS
    assert as_column(xr.DataArray(np.array([1, 2])), 2, "y").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pl.LazyFrame({"a": [1]}), "LazyFrame, whose rows are not computed; call its collect"),
        (xr.Dataset({"a": ("t", [1.0])}), "Dataset of several arrays; pass one of them, or its to_dataframe"),
    ],
)
def test_what_is_not_computed_or_several_arrays(data, message):
    for read in (as_sequences, as_table, lambda data: as_column(data, 1, "y")):
        with pytest.raises(DataError, match=message):
            read(data)


@pytest.mark.slow
def test_data_sets_of_hugging_face():
    """Slow: the library takes seconds to import. A fingerprint is given, which it would compute from all modules."""
    from datasets import Dataset
    from datasets.table import InMemoryTable

    data = Dataset(InMemoryTable(table(text=TEXTS, label=[1, 0, 1])), fingerprint="test")
    for given in (data["text"], data.select_columns("text"), data.with_format("arrow")["text"]):
        (found,) = as_sequences(given).chunks()
        assert found == TEXTS
    for given in (data["label"], data.select_columns("label")):
        assert as_column(given, 3, "y").tolist() == [1, 0, 1]
    converted = as_table(data)
    assert converted is not None
    assert converted[0].column_names == ["text", "label"]


@pytest.mark.parametrize("library", ["pandas", "polars", "duckdb", *(name for name in LIBRARIES if "narwhals" in name)])
def test_forecasts_come_back_and_are_merged(library):
    days = pd.date_range("2024-01-01", periods=40, unit="us")
    parts = [pd.DataFrame({"shop": shop, "day": days, "sold": np.sin(np.arange(40.0))}) for shop in "ab"]
    frame = LIBRARIES[library](pa.Table.from_pandas(pd.concat(parts), preserve_index=False))
    model = Forecaster(horizon=3, hidden_size=4, epochs=1, verbose=0).fit(frame, time="day", target="sold", id="shop")
    found = model.predict(frame)
    if library == "pandas":
        merged = frame.merge(found, on=["shop", "day"], how="outer")
    elif "narwhals" in library:
        assert type(found) is type(frame)
        assert type(found.to_native()) is type(frame.to_native())
        merged = frame.join(found, on=["shop", "day"], how="full")
    else:  # a relation of DuckDB gives an Arrow table, which every connection can read
        assert isinstance(found, pl.DataFrame if library == "polars" else pa.Table)
        merged = pl.DataFrame(frame).join(pl.DataFrame(found), on=["shop", "day"], how="full", coalesce=True)
    assert len(merged) == 86
    assert (merged["forecast"].count(), merged["sold"].count()) == (6, 80)
