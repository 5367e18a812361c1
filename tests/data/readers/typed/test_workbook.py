"""Sheets of Excel workbooks."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from recurra.data.files.table import ReadOptions
from recurra.data.readers.sniff import table_suffix
from recurra.data.readers.tables import read_table, stream_table
from recurra.errors import DataError

DAY = datetime.datetime(2024, 1, 31)
ROWS = [
    ["text", "count", "price", "day", "mixed", "yes", None],
    ["good", 3, 1.5, DAY, 1, True, "x"],
    [None] * 7,
    ["나쁜 영화", 4, 2, datetime.datetime(2024, 2, 1), "a", False, None],
    ["", None, None, None, 2.0, None, None],
    ["last", 5, 3, DAY, DAY, True, None],
]


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


@pytest.fixture
def file(tmp_path) -> Path:
    return workbook(tmp_path / "sales.xlsx", first=ROWS, 둘째=[["n"], [1], [2]])


def test_columns_have_the_types_of_their_cells(file):
    found = read_table(file)
    table = found.table
    assert table.column_names == ["text", "count", "price", "day", "mixed", "yes", "7"]
    assert [str(kind) for kind in table.schema.types[:6]] == [
        *("string", "int64", "double", "timestamp[us]", "string", "bool"),
    ]
    assert table["text"].to_pylist() == ["good", "나쁜 영화", None, "last"]
    assert table["count"].to_pylist() == [3, 4, None, 5]
    assert table["mixed"].to_pylist() == ["1", "a", "2", "2024-01-31"]
    assert [found.where(row) for row in (0, 1, 3)] == [f"sales.xlsx, line {n}" for n in (2, 4, 6)]
    assert found.summary.startswith("sales.xlsx: 4 rows, Excel, sheet first, columns text, count")


def test_sheets_columns_and_headers(file):
    assert read_table(f"{file}#둘째", ["n"]).table["n"].to_pylist() == [1, 2]
    assert read_table(f"{file}#둘째", options=ReadOptions(header=False)).table["1"].to_pylist() == ["n", "1", "2"]
    assert read_table(file, ["2"]).table.column_names == ["count"]
    assert table_suffix(Path("a/b.XLSX#Q1.2024")) == ".xlsx"
    (part,) = stream_table(file, ["price"])
    assert part.table["price"].to_pylist() == [1.5, 2, None, 3]


def test_several_workbooks_are_one_table(tmp_path):
    for name, values in (("a", [1, 2]), ("b", [2.5])):
        workbook(tmp_path / f"{name}.xlsx", s=[["n"], *[[value] for value in values]])
    assert read_table(tmp_path).table["n"].to_pylist() == [1, 2, 2.5]


def test_what_cannot_be_read(file, tmp_path, monkeypatch):
    def refused(path: Any, message: str, columns: list[str] | None = None) -> None:
        with pytest.raises(DataError, match=message):
            read_table(path, columns)

    refused(f"{file}#frist", 'has no sheet "frist", did you mean "first"')
    refused(file, 'has no column "txt"', ["txt"])
    refused(tmp_path / "none.xlsx#a", "there is no file")
    refused(workbook(tmp_path / "empty.xlsx", only=[]), "is empty: there is no row in its sheet only")
    refused(workbook(tmp_path / "names.xlsx", only=[["a", "b"]]), r"has columns \(a, b\) but no rows")
    damaged = tmp_path / "damaged.xlsx"
    damaged.write_bytes(file.read_bytes()[:900])
    refused(damaged, "cannot read .*damaged.xlsx as an Excel workbook")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    refused(file, r"reading the Excel workbook sales.xlsx needs openpyxl: pip install 'recurra\[excel\]'")


def test_cells_that_have_no_common_type_are_texts(tmp_path):
    path = workbook(tmp_path / "big.xlsx", s=[["n", "t"], [2**70, datetime.time(3)], [1, None]])
    table = read_table(path).table
    assert table["t"].to_pylist() == ["03:00:00", None]
    assert table["n"].to_pylist()[1] in ("1", 1.0)
