"""Making numbers of columns."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from recurra.data.columns.numbers import parse_numbers
from recurra.errors import DataError


def nowhere(row: int) -> str:
    raise AssertionError(f"row {row} is good")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("chunked", [False, True])
def test_strings_become_numbers(kind: pa.DataType, chunked: bool) -> None:
    texts = ["1", " -2.5 ", "+3", "1e3", ".5", "4.", "1,395", "-1,355.5", "1,234,567"]
    missing = ["", "  ", "-", "NA", "N/A", "nan", "NaN", "NULL", "null", None]
    column: pa.Array | pa.ChunkedArray = pa.array([*texts, *missing], kind)
    if chunked:
        column = pa.chunked_array([column[:4], column[4:]])
    numbers = parse_numbers(column, name="x", where=nowhere)
    assert numbers.dtype == np.float64
    expected = [1, -2.5, 3, 1000, 0.5, 4, 1395, -1355.5, 1234567, *[math.nan] * len(missing)]
    np.testing.assert_array_equal(numbers, expected)
    numbers[0] = 7  # the caller's own


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 3], pa.int32()),
        pa.array([1.0, None, 3.0]),
        pa.array([1, None, 3]).cast(pa.decimal128(25, 2)),
        pa.chunked_array([pa.array([1, None]), pa.array([3])]),
        pa.array(["1", None, "3"]).dictionary_encode(),
    ],
)
def test_numeric_columns_are_cast(column: pa.Array) -> None:
    np.testing.assert_array_equal(parse_numbers(column, name="x", where=nowhere), [1, math.nan, 3])


def test_other_columns_of_numbers() -> None:
    assert parse_numbers(pa.array([True, False]), name="x", where=nowhere).tolist() == [1, 0]
    assert parse_numbers(pa.array([], pa.string()), name="x", where=nowhere).shape == (0,)
    assert parse_numbers(pa.chunked_array([], pa.string()), name="x", where=nowhere).shape == (0,)
    assert np.isnan(parse_numbers(pa.nulls(2), name="x", where=nowhere)).all()


@pytest.mark.parametrize(
    "text", ["abc", "1,39", "1,2345", ",5", "1 2", "0x10", "inf", "1e999", "3%", "1.2.3", "--", "1_0", "١"]
)
def test_what_is_no_number_is_refused_with_its_place(text: str) -> None:
    column = pa.chunked_array([pa.array(["1", "NA"]), pa.array(["2", text, text])])
    with pytest.raises(DataError) as caught:
        parse_numbers(column, name="price", where=lambda row: f"a.csv, line {row + 2}")
    assert str(caught.value).startswith(f'a.csv, line 5, column price: "{text}" is not a number\n')


def test_columns_of_other_types_are_no_numbers() -> None:
    column = pa.array([0], pa.timestamp("s"))
    with pytest.raises(DataError, match=r"line 2, column when: values of type timestamp\[s\] are not numbers"):
        parse_numbers(column, name="when", where=lambda row: f"a.csv, line {row + 2}")
    with pytest.raises(DataError, match=r"^column when: values of type list"):
        parse_numbers(pa.array([], pa.list_(pa.int64())), name="when", where=nowhere)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["12%", "13.5%"], r'row 0, column x: "12%" is not a number\n2 cells of 2 are not numbers. Write digits'),
        (["$1,250.00", "3"], r"1 cell of 2 is not a number\. Write digits.*no unit, currency or percent sign"),
        (["12 kg", "1,234원"], "no unit, currency or percent sign"),
        (["\u200b1", "2"], r'"\\u200b1" is not a number'),
        (["1e400", "2"], r"It is too large\. Write the column in another unit"),
        (["#DIV/0!", "2"], "1 cell of 2 is not a number. Correct these cells"),
    ],
)
def test_the_advice_fits_the_cells(texts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_numbers(pa.array(texts), name="x", where=lambda row: f"row {row}")
