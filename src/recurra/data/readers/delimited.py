"""Reads columns of CSV files and other delimited text with pyarrow. The format is detected first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as pa_csv

from recurra._util.messages import counted, shortened
from recurra.data.files.encoding import encoding_name
from recurra.data.files.packed import open_binary
from recurra.data.files.table import OpenTable, ReadOptions, choose_columns, in_batches
from recurra.errors import DataError

from .sniff import Dialect, find_dialect, read_rows

_BLOCK_SIZES = (4 << 20, 64 << 20, 1 << 30)  # a row must fit into one block
_SEPARATORS = {
    None: "one column",
    "\t": "tab-separated",
    ",": "comma-separated",
    ";": "semicolon-separated",
    "|": "pipe-separated",
}


def open_delimited(path: Path, columns: Sequence[str] | None, options: ReadOptions) -> OpenTable:
    """Detects the format and chooses the columns. They are read as unchanged strings."""
    dialect = find_dialect(
        path, columns or (), encoding=options.encoding, delimiter=options.delimiter, header=options.header
    )
    if not options.skip_bad_rows:
        # before `choose_columns` reports a missing column, because a title line above the header hides the names
        _refuse_bad_row(path, dialect, rows=1)
    chosen = choose_columns(path, dialect.names, columns, "" if dialect.header_rows else " (it has no header)")
    facts = (
        _SEPARATORS.get(dialect.delimiter) or f'separated by "{dialect.delimiter}"',
        encoding_name(dialect.encoding),
        "quoted" if dialect.quoting else "no quoting",
        ("no header", "", "two header rows joined")[dialect.header_rows],
    )

    def read(table: OpenTable, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        return _read_batches(table, schema, dialect, chosen, options.skip_bad_rows)

    return OpenTable(
        path,
        "delimited text",
        pa.schema([pa.field(dialect.names[index], pa.string()) for index in chosen]),
        dialect.names,
        facts,
        read,
        dialect.delimiter,
        lambda: _row_starts(path, dialect),
    )


def _row_starts(path: Path, dialect: Dialect) -> Iterator[int]:
    """Yields the line at which each good row below the header begins."""
    rows = (line for line, fields in read_rows(path, dialect) if len(fields) == len(dialect.names))
    return itertools.islice(rows, dialect.header_rows, None)


def _refuse_bad_row(path: Path, dialect: Dialect, rows: int | None = None) -> None:
    """Raises an error for the first row with a wrong number of columns, among the first `rows` or all rows."""
    width = len(dialect.names)
    for line, fields in itertools.islice(read_rows(path, dialect), rows):
        if len(fields) != width:
            text = shortened((dialect.delimiter or "").join(fields))
            expected = "1 is expected" if width == 1 else f"{width:,} are expected"
            raise DataError(
                f"{path.name}, line {line}: {counted(len(fields), 'column')} where {expected}: {text}\n"
                "Fix the row, give another --delimiter, or leave out bad rows with --skip-bad-rows."
            )


class _BadRows:
    """Counts the rows with a wrong number of columns, and decides whether pyarrow skips them or stops."""

    def __init__(self, skip: bool, quoting: bool) -> None:
        self.skip = skip
        self.quotes = '"' if quoting else ""
        self.count = 0

    def __call__(self, row: pa_csv.InvalidRow) -> str:
        if row.actual_columns == 1 and not row.text.strip(self.quotes).strip():
            return "skip"  # a blank line
        self.count += 1
        return "skip" if self.skip else "error"


def _read_batches(
    table: OpenTable, schema: pa.Schema, dialect: Dialect, chosen: list[int], skip_bad_rows: bool
) -> Iterator[pa.RecordBatch]:
    """Yields the chosen columns, and counts the bad rows left out.

    A row must fit into one block of pyarrow's reader. After an error the file is read again with larger blocks.
    """
    path, problem, done = table.path, "", 0
    for block_size in _BLOCK_SIZES:
        bad, above = _BadRows(skip_bad_rows, dialect.quoting), done
        try:
            if dialect.delimiter is None:
                batches = _line_batches(path, dialect)
            else:
                batches = _csv_batches(path, dialect, chosen, block_size, bad)
            for batch in _below_header(batches, dialect, chosen, schema):
                new = batch.slice(min(above, batch.num_rows))
                above -= batch.num_rows - new.num_rows
                done += new.num_rows
                yield new
            table.skipped = bad.count
            return
        except pa.ArrowInvalid as error:
            problem = str(error)
        if bad.count and not skip_bad_rows:
            _refuse_bad_row(path, dialect)
        # otherwise a row may be longer than the block
    raise DataError(f"cannot read {path}: {problem}")


def _csv_batches(
    path: Path, dialect: Dialect, chosen: list[int], block_size: int, bad: _BadRows
) -> Iterator[pa.RecordBatch]:
    names = [str(index) for index in range(len(dialect.names))]
    read = pa_csv.ReadOptions(column_names=names, block_size=block_size, encoding=dialect.encoding.removesuffix("-sig"))
    parse = pa_csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.quoting else False,
        newlines_in_values=dialect.quoting,
        invalid_row_handler=bad,
    )
    convert = pa_csv.ConvertOptions(
        include_columns=sorted({str(index) for index in chosen}),
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=False,
    )
    with open_binary(path) as file, pa_csv.open_csv(file, read, parse, convert) as reader:
        yield from reader


def _line_batches(path: Path, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file with one column. pyarrow cannot read it, because it needs a delimiter."""
    rows = (fields[0] for _, fields in read_rows(path, dialect))
    for some in in_batches(rows):
        yield pa.record_batch([pa.array(some, pa.string())], names=["0"])


def _below_header(
    batches: Iterable[pa.RecordBatch], dialect: Dialect, chosen: list[int], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yields the chosen columns without the header rows, which pyarrow reads as data."""
    above = dialect.header_rows
    for batch in batches:
        below = batch.slice(min(above, batch.num_rows))
        above -= batch.num_rows - below.num_rows
        yield pa.record_batch([below.column(str(index)) for index in chosen], schema=schema)
