"""Making numbers of columns."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from recurra.data.columns.numbers import MISSING, is_number, number_of, parse_numbers, without_thousands
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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,395.5", 1395.5), (" -2 ", -2.0), ("1 000", 1000.0), ("1'000'000", 1e6), ("1’000", 1000.0), (".5", 0.5),
        ("5.", 5.0), ("+1e-3", 0.001), ("1\u00a0000.5", 1000.5), ("1,234,567", 1234567.0), ("0001", 1.0),
    ],
)  # fmt: skip
def test_numbers_of_texts(text: str, number: float) -> None:
    assert number_of(text) == number
    assert is_number(text)


@pytest.mark.parametrize("text", ["1,23", "1,000 000", "0,123,456", "1 00", "e5", ".", "+", "1e400", "-1e400", "x"])
def test_texts_that_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$"):
        number_of(text)


def test_numbers_with_a_point_or_a_comma() -> None:
    texts = ("1,5", "1.234,5", "1,234.5", "-,5", "12,", "1,2,3", "1.2.3", "a", "", "1e400")
    assert [is_number(text) for text in texts] == [True, True, True, True, True, False, False, False, False, True]
    for mark in MISSING:
        assert math.isnan(number_of(mark.upper()))


def test_separators_between_thousands_are_removed() -> None:
    point = without_thousands(pa.array(["1,234.5", "1 234", "1'234", "1’234", "1.5"]))
    assert point.to_pylist() == ["1234.5", "1234", "1234", "1234", "1.5"]
    comma = without_thousands(pa.array(["1.234,5", "1 234", "1'234,5", "1,5"]), ",")
    assert comma.to_pylist() == ["1234.5", "1234", "1234.5", "1.5"]


@pytest.mark.parametrize(
    ("texts", "advice"),
    [
        (["x", "1"], "1 cell of 2 is not a number. Correct these cells, or leave them empty if a value is missing."),
        (["x", "y", "1"], 'The column has words ("x", "y"): leave it out, or write a column of 0 and 1 for each word.'),
        (["x", "NA"], 'The column has words ("x"): leave it out, or write a column of 0 and 1 for each word.'),
        (["x", "y", "1", "2"], "2 cells of 4 are not numbers. Correct these cells"),
        (["x", *["1"] * 1234], "1 cell of 1,235 is not a number. Correct"),
        (["1,5", "2"], "If the comma is a decimal comma, give --decimal , (or write a decimal point)."),
        (["-1e999", "2"], "It is too large. Write the column in another unit."),
    ],
)
def test_advice_counts_the_cells_that_are_there(texts: list[str], advice: str) -> None:
    with pytest.raises(DataError) as error:
        parse_numbers(pa.array(texts), name="x", where=str)
    assert str(error.value).split("\n", 1)[1].startswith(advice)
    assert str(error.value).startswith("0, column x: ")


def test_infinite_numbers_of_a_typed_column_are_named() -> None:
    with pytest.raises(DataError, match=r"^row 1, column x: -inf is not a finite number$"):
        parse_numbers(pa.array([1.0, -math.inf, math.inf]), name="x", where=lambda row: f"row {row}")
    with pytest.raises(DataError, match=r'^row 1, column x: "1e309" is not a number\nIt is too large'):
        parse_numbers(pa.array(["1", "1e309"]), name="x", where=lambda row: f"row {row}")
    found = parse_numbers(pa.array([1.0, None]), name="x", where=nowhere)
    found[0] = 5.0  # the caller's own
