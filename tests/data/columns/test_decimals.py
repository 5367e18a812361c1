"""Decimal commas and points are told apart by all numbers of a file, and what cannot be told is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.data.columns.decimals import with_decimal_points
from recurra.data.columns.numbers import MISSING, number_of, parse_numbers
from recurra.data.readers.long_table import LongColumns, read_long
from recurra.data.readers.tables import ReadOptions, read_table
from recurra.errors import DataError, UsageError

Write = Callable[..., Path]


def numbers(path: Path, decimal: str | None = None) -> tuple[list[Any], list[str]]:
    """The numbers of the columns behind the first one, and the notes."""
    file = read_table(path)
    columns = range(1, file.table.num_columns)
    file, notes = with_decimal_points(file, columns, decimal)
    names = file.table.column_names
    return [parse_numbers(file.table.column(i), name=names[i], where=file.where).tolist() for i in columns], notes


def table(*rows: str, separator: str = ";") -> str:
    return "\n".join((separator.join(("id", *"abc"[: rows[0].count(separator)])), *rows)) + "\n"


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (("3,5", "-0,25"), [3.5, -0.25]),
        (("1.234,5", "2.000"), [1234.5, 2000.0]),
        (("1 234,5", "2\u00a0000"), [1234.5, 2000.0]),
        (("1'234,5", "2'000"), [1234.5, 2000.0]),
        (("0,123", "7"), [0.123, 7.0]),
        (("1234,567", "1.395"), [1234.567, 1395.0]),
        (("12.345.678,9", "1,5e3"), [12345678.9, 1500.0]),
    ],
)
def test_decimal_commas_are_found(write: Write, cells: tuple[str, str], wanted: list[float]) -> None:
    found, notes = numbers(write(table(*(f"x;{cell}" for cell in cells))))
    assert found == [wanted]
    assert len(notes) == 1
    assert notes[0].startswith("numbers have a decimal comma, such as")


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (("3.5", "1,395"), [3.5, 1395.0]),
        (("1,234.5", "-.5"), [1234.5, -0.5]),
        (("1 234.5", "2\u202f000"), [1234.5, 2000.0]),
        (("0.126", "17.000"), [0.126, 17.0]),
        (("1,395", "1,234,567.0"), [1395.0, 1234567.0]),
    ],
)
def test_decimal_points_are_found(write: Write, cells: tuple[str, str], wanted: list[float]) -> None:
    for separator in "\t;":
        found, notes = numbers(write(table(*(f"x{separator}{cell}" for cell in cells), separator=separator)))
        assert (found, notes) == ([wanted], [])


def test_one_cell_tells_for_all_columns(write: Write) -> None:
    assert numbers(write(table("x;1,395;7", "y;2,500;0,5")))[0] == [[1.395, 2.5], [7.0, 0.5]]
    assert numbers(write(table("x;1,395;7", "y;2,500;0.5")))[0] == [[1395.0, 2500.0], [7.0, 0.5]]


def test_what_cannot_be_told_is_refused_or_reported(write: Write) -> None:
    path = write(table("x;1,395", "y;2,500"))
    with pytest.raises(DataError, match=r'table.csv, line 2, column a: "1,395" is 1.395 with .* or 1395 with .*\nGive'):
        numbers(path)
    assert numbers(path, ",") == ([[1.395, 2.5]], [])
    assert numbers(path, ".") == ([[1395.0, 2500.0]], [])
    found, notes = numbers(write(table("x;3.013", "y;234.868")))
    assert found == [[3.013, 234.868]]
    assert notes == ['"3.013" is read with a decimal point; --decimal , reads these numbers the other way']
    found, notes = numbers(write('id,a\nx,"1,395"\n'))
    assert found == [[1395.0]]
    assert notes == ['"1,395" is read with a comma between thousands; --decimal , reads these numbers the other way']
    assert numbers(write("id,a\nx,3.013\n")) == ([[3.013]], [])


def test_both_in_one_file_are_refused(write: Write) -> None:
    path = write(table("x;3,5;1", "y;2;2.25"))
    message = (
        r'line 2, column a: "3,5" has a decimal comma, but table.csv, line 3, column b: "2.25" has a decimal point'
    )
    with pytest.raises(DataError, match=message):
        numbers(path)
    with pytest.raises(DataError, match=r'line 3, column b: "2.25" is not a number with a decimal comma'):
        numbers(path, ",")
    with pytest.raises(DataError, match=r'"3,5" is not a number\nIf the comma is a decimal comma, give --decimal ,'):
        numbers(path, ".")
    with pytest.raises(UsageError, match="--decimal is a point or a comma, not ';'"):
        numbers(path, ";")


def test_columns_of_other_types_stay(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["x"], "a": [1.5], "b": ["2,5"]}), tmp_path / "a.parquet")
    assert numbers(tmp_path / "a.parquet")[0] == [[1.5], [2.5]]


@given(st.lists(st.decimals(-(10**9), 10**9, places=3), min_size=1, max_size=6))
def test_any_numbers_written_in_the_german_way_are_read_back(tmp_path_factory: Any, values: list[Any]) -> None:
    cells = [f"{value:,}".translate({ord(","): ".", ord("."): ","}) for value in [*values, "0.5"] if value != "0.5"]
    path = tmp_path_factory.mktemp("german") / "table.csv"
    path.write_text(table(*(f"x;{cell}" for cell in [*cells, "0,5"])))
    assert numbers(path)[0] == [[float(value) for value in values] + [0.5]]


@pytest.mark.parametrize("mark", [*MISSING, "NaN", "NULL", " ? "])
def test_all_formats_have_the_same_missing_marks(write: Write, mark: str) -> None:
    from recurra.data.readers.ts import read_ts

    assert number_of(mark) != number_of(mark)
    (column,), _ = numbers(write(table(f"x;{mark}", "y;2.5")))
    assert column[0] != column[0]
    assert read_ts(write(f"@data\n1,{mark},2\n", "a.ts")).sequences.missing == 1


def test_long_tables_have_decimal_commas_and_empty_rows(write: Write) -> None:
    path = write("id;t;x;y\na;1;3,5;1,5\n;;;\na;2;?;1,5\nb;1;2;0,25\n;;;\n;;;\n")
    file = read_long(path, LongColumns("id", ("x",), "t", "y"), numbers=True)
    assert [row.ravel().tolist() for row in file.sequences.rows][1] == [2.0]
    assert file.sequences.missing == 1
    assert file.targets is not None
    assert file.targets.tolist() == [1.5, 0.25]
    assert file.where(1) == "table.csv, line 5 (id b)"
    assert file.notes == ('numbers have a decimal comma, such as "3,5"', "3 empty rows left out")
    point = ReadOptions(decimal=".")
    with pytest.raises(DataError, match=r'line 2, column x: "3,5" is not a number\nIf the comma'):
        read_long(path, LongColumns("id", ("x",), "t", "y"), point, numbers=True)


def test_rows_that_are_all_empty_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"table.csv: every row is empty in the columns id, x"):
        read_long(write("id;x\n;\n;\n"), LongColumns("id", ("x",)))


def test_words_in_a_column_of_numbers_say_what_to_do(write: Write) -> None:
    with pytest.raises(
        DataError,
        match=r'"NW" is not a number\nThe column has words \("NW", "cv", "NE", … \(4 in all\)\): leave it out',
    ):
        numbers(write("id,a\nx,NW\nx,cv\nx,NE\nx,NW\nx,SE\n"))
    with pytest.raises(DataError, match=r'"closed" is not a number\n1 cell of 3 is not a number. Correct these cells'):
        numbers(write("id,a\nx,1\nx,closed\nx,3\nx,NA\n"))
