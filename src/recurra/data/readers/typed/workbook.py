"""Reads columns of a sheet of an Excel workbook (.xlsx)."""

from __future__ import annotations

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recurra._util.extras import needs_extra
from recurra._util.messages import hint, listed
from recurra.data.files.access import refuse_no_file
from recurra.data.files.table import OpenTable, ReadOptions, choose_columns
from recurra.errors import DataError

SUFFIX = ".xlsx"
ZIP = b"PK\x03\x04"
"""First bytes of a workbook."""
_NAMED = re.compile(r"(.+\.xlsx)#([^/\\]+)", re.IGNORECASE)
_DAMAGED = (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, SyntaxError)


def split_sheet(path: Path) -> tuple[Path, str | None]:
    """Splits `file.xlsx#Sheet` into the file and the name of the sheet; None for other names.

    Example:
        >>> split_sheet(Path("sales.xlsx#2024")), split_sheet(Path("sales.xlsx"))
        ((PosixPath('sales.xlsx'), '2024'), (PosixPath('sales.xlsx'), None))
    """
    found = _NAMED.fullmatch(str(path))
    return (path, None) if found is None else (Path(found[1]), found[2])


class _Sheet(NamedTuple):
    """Rows of a sheet that are not empty, with their numbers in the sheet, counted from 1."""

    name: str
    rows: list[tuple[Any, ...]]
    numbers: list[int]


def open_workbook(
    path: Path, columns: Sequence[str] | None, options: ReadOptions, *, sheet: str | None = None
) -> OpenTable:
    """Reads a sheet, whose first row has the names of the columns, and chooses the columns and their types.

    A column of numbers, of truth values or of times keeps its type. Other columns are texts. Formulas have the values
    that Excel saved.

    Args:
        path: the file.
        columns: names or positions of the columns; None for all.
        options: options of reading the file; `header=False` if the first row is a row of data.
        sheet: name of the sheet; None for the first one.

    Raises:
        DataError: openpyxl is not installed, the file or its sheet cannot be read, or a column is missing.
    """
    refuse_no_file(path)
    found = _read(path, sheet)
    if not found.rows:
        raise DataError(f"{path.name} is empty: there is no row in its sheet {found.name}")
    names, skip = _names(found.rows, options.header)
    chosen = choose_columns(path, names, columns)
    cells = [[row[at] if at < len(row) else None for row in found.rows[skip:]] for at in chosen]
    arrays = [_column(values) for values in cells]
    schema = pa.schema([pa.field(names[at], array.type) for at, array in zip(chosen, arrays, strict=True)])
    numbers = found.numbers[skip:]

    def read(table: OpenTable, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        whole = pa.Table.from_arrays(arrays, schema=schema).cast(wanted)
        return iter(whole.to_batches())

    facts = ("Excel", f"sheet {found.name}")
    return OpenTable(path, "Excel", schema, names, facts, read, None, lambda: iter(numbers))


def _read(path: Path, sheet: str | None) -> _Sheet:
    with needs_extra("excel", f"reading the Excel workbook {path.name}", DataError):
        from openpyxl import load_workbook
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on formats and filters, which say nothing about the values
            book = load_workbook(path, read_only=True, data_only=True)
            try:
                name = _sheet_name(path, [one.title for one in book.worksheets], sheet)
                rows, numbers = [], []
                for number, row in enumerate(book[name].iter_rows(values_only=True), 1):
                    if any(value is not None and value != "" for value in row):
                        rows.append(row)
                        numbers.append(number)
            finally:
                book.close()
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"cannot read {path} as an Excel workbook: {error}") from None
    return _Sheet(name, rows, numbers)


def _sheet_name(path: Path, names: Sequence[str], sheet: str | None) -> str:
    if not names:
        raise DataError(f"{path.name} has no sheet of cells")
    if sheet is None:
        return names[0]
    if sheet not in names:
        raise DataError(f'{path.name} has no sheet "{sheet}"{hint(sheet, names)}\nIts sheets are: {listed(names, 20)}')
    return sheet


def _names(rows: Sequence[tuple[Any, ...]], header: bool | None) -> tuple[list[str], int]:
    """Returns the names of the columns, and the number of rows that have them. Columns without a name are numbered."""
    width = max(max((i + 1 for i, value in enumerate(row) if value is not None), default=0) for row in rows)
    first = rows[0] if header is not False else ()
    named = [str(first[i]).strip() if i < len(first) and first[i] is not None else "" for i in range(width)]
    return [name or str(i) for i, name in enumerate(named, 1)], int(header is not False)


def _column(values: Sequence[Any]) -> pa.Array:
    """Returns cells as numbers, truth values or times if all are; else as texts."""
    given = [None if value == "" else value for value in values]
    kinds = {type(value) for value in given if value is not None}
    if kinds and (kinds <= {int, float} or kinds <= {bool} or kinds <= {datetime.datetime}):
        try:
            return pa.array(given, pa.float64() if float in kinds else None)
        except (pa.ArrowInvalid, OverflowError):
            pass
    return pa.array([None if value is None else _text(value) for value in given], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).removesuffix(" 00:00:00") if isinstance(value, datetime.datetime) else str(value)
