"""Reads the columns of a file, CSV, TSV, JSON Lines or Parquet, into an Arrow table."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at run time)

from __future__ import annotations

import difflib
import itertools
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as pa_csv

from recurra.data import sniff
from recurra.errors import DataError

SPILL_BYTES = 64 << 20  # a table beyond this goes to the disk, where there is a folder for it
_BLOCK_SIZES = (4 << 20, 64 << 20, 1 << 30)  # a row must fit into a block
_BATCH_ROWS = 8192
_SEPARATORS = {
    None: "one column",
    "\t": "tab-separated",
    ",": "comma-separated",
    ";": "semicolon-separated",
    "|": "pipe-separated",
}
_TEXT, _WHOLE, _NOTHING = pa.string(), pa.int64(), pa.null()
_JSON_TYPES = {str: _TEXT, int: _WHOLE, float: pa.float64(), bool: pa.bool_(), type(None): _NOTHING}


@dataclass(frozen=True)
class ReadOptions:
    """What the user already knows about a file; `None` means: find out.

    Args:
        encoding: a Python codec, such as `"cp949"`.
        delimiter: the character between two columns.
        header: whether the first row holds the names of the columns.
        skip_bad_rows: leave out rows that cannot be read instead of stopping at the first.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    skip_bad_rows: bool = False


@dataclass(frozen=True)
class DataFile:
    """Columns of a file, and where each row came from.

    Args:
        path: the file.
        table: the chosen columns, in the order asked for; those of text tables are strings, verbatim.
        summary: one line for a person: rows, separator, encoding, columns.
        skipped: number of bad rows left out.
    """

    path: Path
    table: pa.Table
    summary: str
    skipped: int
    _starts: Callable[[], Iterator[int]] | None = field(default=None, repr=False, compare=False)

    def line_of(self, row: int) -> int | None:
        """Returns the line, counted from 1, where `row`, counted from 0, begins; `None` for Parquet.

        It reads the file again: meant for the way to an error message.
        """
        return None if self._starts is None else next(itertools.islice(self._starts(), row, None), None)

    def where(self, row: int) -> str:
        """Returns the place of `row` for a person: `file.csv, line 17` or `file.parquet, row 17`."""
        line = self.line_of(row)
        return f"{self.path.name}, row {row + 1}" if line is None else f"{self.path.name}, line {line}"


_FIND_OUT = ReadOptions()


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    options: ReadOptions = _FIND_OUT,
    *,
    cache_dir: Path | None = None,
) -> DataFile:
    r"""Reads columns of a CSV, TSV, JSON Lines or Parquet file; the text formats may be packed with gzip.

    Encoding, delimiter, quoting and header of text tables are found out.

    Args:
        path: the file.
        columns: names of columns, or their positions counted from 1, such as `"2"`; all of them by default.
            Column `i` of the table is `columns[i]`, under its name in the file.
        options: what is known about the file.
        cache_dir: a table over 64 MB is written there and memory-mapped instead of held in memory.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a bad row; the message says where.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "reviews.csv")
        ...     _ = path.write_text('text,label\n"good, really",1\nbad,0\n', encoding="utf-8")
        ...     file = read_table(path, ["text"])
        ...     file.where(1)
        'reviews.csv, line 3'
        >>> file.table.to_pydict()
        {'text': ['good, really', 'bad']}
        >>> file.summary
        'reviews.csv: 2 rows, comma-separated, UTF-8, quoted, columns text, label'
    """
    path = Path(path)
    try:
        if _is_parquet(path):
            return _read_parquet(path, columns, cache_dir)
        if sniff.table_suffix(path) in (".jsonl", ".ndjson", ".json"):
            return _read_json(path, columns, options, cache_dir)
        return _read_delimited(path, columns, options, cache_dir)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise DataError(f"cannot read {path}: {reason}") from None


def _is_parquet(path: Path) -> bool:
    """Whether the file is Parquet by name or by its first bytes; refuses what holds no bytes."""
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{_hint(path.name, beside)}")
    if path.is_dir():
        raise DataError(f"{path} is a folder: give the file in it that holds the data")
    if not path.is_file():
        raise DataError(f"{path} is no regular file, and it is read more than once: save it as a file first")
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise DataError(f"{path.name} is empty: there is no row in it")
    return head == b"PAR1" or path.suffix.lower() == ".parquet"


def _choose(path: Path, names: Sequence[str], columns: Sequence[str] | None, note: str = "") -> list[int]:
    """Returns the indices of the columns asked for, by name or by position."""
    if columns is None:
        return list(range(len(names)))
    plain = [sniff.plain_name(name) for name in names]
    chosen = []
    for column in columns:
        if sniff.plain_name(column) in plain:
            chosen.append(plain.index(sniff.plain_name(column)))
        elif column.isdecimal() and 1 <= int(column) <= len(names):
            chosen.append(int(column) - 1)
        else:
            hint = _hint(sniff.plain_name(column), plain)
            raise DataError(f'{path.name} has no column "{column}"{hint}\nIts columns{note} are: {_listed(names, 20)}')
    return chosen


def _hint(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f', did you mean "{close[0]}"?' if close else ""


def _listed(names: Sequence[str], limit: int) -> str:
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _summary(path: Path, rows: int, names: Sequence[str], skipped: int, *facts: str) -> str:
    said = [_counted(rows, "row"), *filter(None, facts)]
    if skipped:
        said.append(f"{_counted(skipped, 'bad row')} left out")
    return f"{path.name}: {', '.join(said)}, columns {_listed(names, 8)}"


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _shortened(text: str) -> str:
    text = re.sub(r"[\r\n]+", " ", text[:61])
    return f'"{text}"' if len(text) <= 60 else f'"{text[:60]}…"'


def _collect(schema: pa.Schema, batches: Iterator[pa.RecordBatch], cache_dir: Path | None) -> pa.Table:
    """Gathers batches into a table, in memory or, where it is large, in a file of `cache_dir`."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if cache_dir is not None and size > SPILL_BYTES:
            return _spill(schema, itertools.chain(held, batches), cache_dir)
    return pa.Table.from_batches(held, schema)


def _spill(schema: pa.Schema, batches: Iterable[pa.RecordBatch], cache_dir: Path) -> pa.Table:
    """Writes batches to a file of their own, which belongs to the folder's owner, and maps it into memory."""
    name = None
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".arrow", dir=cache_dir)
        os.close(handle)
        with pa.ipc.new_file(name, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        return pa.ipc.open_file(pa.memory_map(name)).read_all()
    except BaseException as error:
        if name:
            Path(name).unlink()
        if isinstance(error, OSError):
            raise DataError(f"cannot write to {cache_dir}: {error.strerror or error}") from None
        raise


# --- CSV and its kin


def _read_delimited(
    path: Path, columns: Sequence[str] | None, options: ReadOptions, cache_dir: Path | None
) -> DataFile:
    dialect = sniff.find_dialect(
        path, columns or (), encoding=options.encoding, delimiter=options.delimiter, header=options.header
    )
    if not options.skip_bad_rows:
        _refuse_bad_row(path, dialect, rows=1)  # before complaining of a column that a title line hides
    chosen = _choose(path, dialect.names, columns, "" if dialect.header_rows else " (it has no header)")
    table, skipped = _csv_table(path, dialect, chosen, options.skip_bad_rows, cache_dir)
    facts = (
        _SEPARATORS.get(dialect.delimiter) or f'separated by "{dialect.delimiter}"',
        sniff.label(dialect.encoding),
        "quoted" if dialect.quoting else "no quoting",
        ("no header", "", "two header rows joined")[dialect.header_rows],
    )
    summary = _summary(path, table.num_rows, dialect.names, skipped, *facts)
    return DataFile(path, table, summary, skipped, lambda: _row_starts(path, dialect))


def _row_starts(path: Path, dialect: sniff.Dialect) -> Iterator[int]:
    """Yields the line at which each good row below the header begins."""
    rows = (line for line, fields in sniff.read_rows(path, dialect) if len(fields) == len(dialect.names))
    return itertools.islice(rows, dialect.header_rows, None)


def _refuse_bad_row(path: Path, dialect: sniff.Dialect, rows: int | None = None) -> None:
    """Raises the error of the first row, of all or of the first few, with a wrong number of columns."""
    width = len(dialect.names)
    for line, fields in itertools.islice(sniff.read_rows(path, dialect), rows):
        if len(fields) != width:
            text = _shortened((dialect.delimiter or "").join(fields))
            expected = f"{width} {'is' if width == 1 else 'are'} expected"
            raise DataError(
                f"{path.name}, line {line}: {_counted(len(fields), 'column')} where {expected}: {text}\n"
                "Fix the row, give another --delimiter, or leave such rows out with --skip-bad-rows."
            )


class _BadRows:
    """Counts the rows that pyarrow finds to have a wrong number of columns, and says what to do with them."""

    def __init__(self, skip: bool, quoting: bool) -> None:
        self.skip = skip
        self.quotes = '"' if quoting else ""
        self.count = 0

    def __call__(self, row: pa_csv.InvalidRow) -> str:
        if row.actual_columns == 1 and not row.text.strip(self.quotes).strip():
            return "skip"  # a blank line
        self.count += 1
        return "skip" if self.skip else "error"


def _csv_table(
    path: Path, dialect: sniff.Dialect, chosen: list[int], skip_bad_rows: bool, cache_dir: Path | None
) -> tuple[pa.Table, int]:
    """Returns the chosen columns and the number of bad rows left out."""
    schema = pa.schema([pa.field(dialect.names[index], pa.string()) for index in chosen])
    problem = ""
    for block_size in _BLOCK_SIZES:
        bad = _BadRows(skip_bad_rows, dialect.quoting)
        try:
            if dialect.delimiter is None:
                batches = _line_batches(path, dialect)
            else:
                batches = _csv_batches(path, dialect, chosen, block_size, bad)
            return _collect(schema, _below_header(batches, dialect, chosen, schema), cache_dir), bad.count
        except pa.ArrowInvalid as error:
            problem = str(error)
        if bad.count and not skip_bad_rows:
            _refuse_bad_row(path, dialect)
        # else a row may be longer than the block
    raise DataError(f"cannot read {path}: {problem}")


def _csv_batches(
    path: Path, dialect: sniff.Dialect, chosen: list[int], block_size: int, bad: _BadRows
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
    with sniff.open_binary(path) as file, pa_csv.open_csv(file, read, parse, convert) as reader:
        yield from reader


def _line_batches(path: Path, dialect: sniff.Dialect) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file with one column, where no character is free to be pyarrow's delimiter."""
    rows = (fields[0] for _, fields in sniff.read_rows(path, dialect))
    while some := list(itertools.islice(rows, _BATCH_ROWS)):
        yield pa.record_batch([pa.array(some, pa.string())], names=["0"])


def _below_header(
    batches: Iterable[pa.RecordBatch], dialect: sniff.Dialect, chosen: list[int], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yields the chosen columns without the header rows, which were read like any other."""
    above = dialect.header_rows
    for batch in batches:
        below = batch.slice(min(above, batch.num_rows))
        above -= batch.num_rows - below.num_rows
        yield pa.record_batch([below.column(str(index)) for index in chosen], schema=schema)


# --- JSON Lines


def _read_json(path: Path, columns: Sequence[str] | None, options: ReadOptions, cache_dir: Path | None) -> DataFile:
    encoding = sniff.find_encoding(path, options.encoding)
    types, skipped = _json_types(path, encoding, options.skip_bad_rows)
    names = list(types)
    fields = []
    for index in _choose(path, names, columns):
        kind = types[names[index]]
        if isinstance(kind, DataError):
            raise kind
        fields.append(pa.field(names[index], _TEXT if kind == _NOTHING else kind))
    schema = pa.schema(fields)

    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        lines = _json_lines(path, encoding, options.skip_bad_rows)
        return ((line, record) for line, record in lines if record is not None)

    table = _collect(schema, _json_batches(objects(), schema), cache_dir)
    summary = _summary(path, table.num_rows, names, skipped, "JSON Lines", sniff.label(encoding))
    return DataFile(path, table, summary, skipped, lambda: (line for line, _ in objects()))


def _json_lines(path: Path, encoding: str, skip: bool) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yields `(line, object)` of every line that is not blank; with `skip`, `None` stands for a bad one."""
    with sniff.open_text(path, encoding) as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            record, problem = _json_object(text)
            if problem and not skip:
                raise DataError(
                    f"{path.name}, line {line}: {problem}: {_shortened(text.strip())}\n"
                    'Every line holds one JSON object, such as {"text": "good", "label": 1}.\n'
                    "Mend the line, or leave such lines out with --skip-bad-rows."
                )
            yield line, record


def _json_object(text: str) -> tuple[dict[str, Any] | None, str]:
    """Returns the object in a line, or `None` and what is wrong with it."""
    try:
        record = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return None, f"{error.msg} at column {error.colno}"
    except UnicodeEncodeError:
        return None, "half of a surrogate pair"
    except (ValueError, RecursionError) as error:
        return None, str(error)
    return (record, "") if isinstance(record, dict) else (None, "not an object of names and values")


def _json_types(path: Path, encoding: str, skip: bool) -> tuple[dict[str, pa.DataType | DataError], int]:
    """Returns the type of every column, or why it has none, and the number of bad lines."""
    types: dict[str, pa.DataType | DataError] = {}
    skipped = 0
    for line, record in _json_lines(path, encoding, skip):
        skipped += record is None
        for key, value in (record or {}).items():
            known = types.get(key, _NOTHING)
            if not isinstance(known, DataError):
                types[key] = _wider_type(known, value) or DataError(
                    f"{path.name}, line {line}, column {key}: {_shortened(str(value))}\n"
                    "is unlike the values above it: a column holds texts and numbers, or lists, or objects."
                )
    if not types:
        raise DataError(f"{path.name} is empty: there is no value in it")
    return types, skipped


def _wider_type(known: pa.DataType, value: Any) -> pa.DataType | None:
    """Returns the Arrow type that holds the values so far and this one, if any does."""
    kind = _JSON_TYPES.get(type(value))
    if kind is _WHOLE and value.bit_length() > 63:
        kind = _TEXT  # an identifier rather than a quantity
    if kind is known or kind is _NOTHING:
        return known
    try:
        kind = kind or pa.array([value]).type
        if known == _NOTHING:
            return kind
        if pa.types.is_nested(kind) or pa.types.is_nested(known):
            pair = [pa.schema([("", known)]), pa.schema([("", kind)])]
            return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
    return pa.float64() if {known, kind} == {pa.int64(), pa.float64()} else _TEXT


def _json_batches(records: Iterator[tuple[int, dict[str, Any]]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while some := list(itertools.islice(records, _BATCH_ROWS)):
        columns = [[_fitted(record.get(column.name), column.type) for _, record in some] for column in schema]
        yield pa.record_batch(
            [pa.array(values, column.type) for values, column in zip(columns, schema, strict=True)],
            schema=schema,
        )


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """Returns a JSON value as the type of its column wants it."""
    if value is None or isinstance(value, str):
        return value
    if kind == pa.string():
        return json.dumps(value)
    return float(value) if kind == pa.float64() else value


# --- Parquet


def _read_parquet(path: Path, columns: Sequence[str] | None, cache_dir: Path | None) -> DataFile:
    with pq.ParquetFile(path, memory_map=True) as file:
        names = file.schema_arrow.names
        chosen = _choose(path, names, columns)
        fields = [file.schema_arrow.field(index) for index in chosen]
        schema = pa.schema([pa.field(column.name, _decoded_type(column.type)) for column in fields])
        batches = (
            pa.record_batch([_decoded(batch.column(column.name)) for column in schema], schema=schema)
            for batch in file.iter_batches(columns=sorted({column.name for column in fields}))
        )
        table = _collect(schema, batches, cache_dir)
    return DataFile(path, table, _summary(path, table.num_rows, names, 0, "Parquet"), 0)


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the values where a column is dictionary-encoded, as pandas categories are."""
    return kind.value_type if isinstance(kind, pa.DictionaryType) else kind


def _decoded(column: Any) -> Any:
    return column.cast(column.type.value_type) if isinstance(column.type, pa.DictionaryType) else column


# --- numbers


def parse_numbers(column: pa.ChunkedArray | pa.Array, *, name: str, where: Callable[[int], str]) -> np.ndarray:
    """Makes numbers of a column; what is missing (an empty cell, NA, NaN, null, -) becomes NaN.

    Args:
        column: strings, where thousands commas are allowed, or any numeric Arrow type.
        name: the name of the column, for the error message.
        where: gives the place of a row, for the error message.

    Returns:
        The numbers as float64.

    Raises:
        DataError: a cell is no number.

    Example:
        >>> parse_numbers(pa.array(["1,395", " -2.5", "NA"]), name="price", where=str)
        array([1395. ,   -2.5,    nan])
    """
    column = _decoded(column)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return _cast_numbers(column, name, where)
    text = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(text), pa.array([*sniff.MISSING, None], column.type))
    good = pc.or_(missing, pc.fill_null(pc.match_substring_regex(text, f"^(?:{sniff.NUMBER})$"), False))
    bad = np.flatnonzero(~np.asarray(good, dtype=bool))
    if not bad.size:
        digits = pc.replace_substring(pc.if_else(missing, "nan", text), ",", "")
        numbers = np.array(np.asarray(pc.cast(digits, pa.float64())))  # the caller's own, to write to
        bad = np.flatnonzero(np.isinf(numbers))  # beyond what float64 holds
        if not bad.size:
            return numbers
    row = int(bad[0])
    raise DataError(f"{where(row)}, column {name}: {_shortened(column[row].as_py())} is not a number")


def _cast_numbers(column: pa.ChunkedArray | pa.Array, name: str, where: Callable[[int], str]) -> np.ndarray:
    try:
        numbers = pc.cast(column, pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        place = f"{where(0)}, " if len(column) else ""
        raise DataError(f"{place}column {name}: values of type {column.type} are not numbers") from None
    return np.array(np.asarray(pc.fill_null(numbers, np.nan)))
