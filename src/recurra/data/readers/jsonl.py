"""Reads columns of JSON Lines files, with an object in every line, and of JSON arrays of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from recurra._util.messages import shortened
from recurra.data.files.encoding import encoding_name, find_encoding, open_text
from recurra.data.files.table import OpenTable, ReadOptions, choose_columns, in_batches
from recurra.errors import DataError

_TEXT, _WHOLE, _NOTHING = pa.string(), pa.int64(), pa.null()
_JSON_TYPES = {str: _TEXT, int: _WHOLE, float: pa.float64(), bool: pa.bool_(), type(None): _NOTHING}


def open_json(path: Path, columns: Sequence[str] | None, options: ReadOptions) -> OpenTable:
    """Chooses the columns and their types. The type of a column can represent all its values."""
    encoding = find_encoding(path, options.encoding)
    types, skipped = _json_types(path, encoding, options.skip_bad_rows)
    names = list(types)
    fields = []
    for index in choose_columns(path, names, columns):
        kind = types[names[index]]
        if isinstance(kind, DataError):
            raise kind
        fields.append(pa.field(names[index], _TEXT if kind == _NOTHING else kind))

    def objects() -> Iterator[tuple[int, dict[str, Any]]]:
        lines = _json_lines(path, encoding, options.skip_bad_rows)
        return ((line, record) for line, record in lines if record is not None)

    return OpenTable(
        path,
        "JSON Lines",
        pa.schema(fields),
        names,
        ("JSON Lines", encoding_name(encoding)),
        lambda table, schema: _json_batches(objects(), table.schema.names, schema),
        None,
        lambda: (line for line, _ in objects()),
        skipped,
    )


def _json_lines(path: Path, encoding: str, skip: bool) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yields `(line, object)` of every line that is not blank. With `skip`, the object of a bad line is None.

    Of an array these are its objects, and the lines in which they begin.
    """
    with open_text(path, encoding) as file:
        for line, text in _pieces(path, file):
            record, problem = _json_object(text)
            if problem and not skip:
                raise DataError(
                    f"{path.name}, line {line}: {problem}: {shortened(text.strip())}\n"
                    'Every line holds one JSON object, such as {"text": "good", "label": 1}. An array of them is read '
                    "too.\nCorrect the line, or leave out bad lines with --skip-bad-rows."
                )
            yield line, record


def _pieces(path: Path, file: TextIO) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank with their numbers; of an array the texts of its values."""
    first = True
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        if first and text.lstrip().startswith("["):
            yield from _array_pieces(path, line, text.lstrip() + file.read())
            return
        first = False
        yield line, text


_SPACE = re.compile(r"[ \t\r\n]*")


def _array_pieces(path: Path, line: int, text: str) -> Iterator[tuple[int, str]]:
    """Yields the text of each value of an array and the line in which it begins.

    Args:
        path: the file.
        line: number of the line in which the array begins.
        text: the file from the opening bracket on.

    Raises:
        DataError: the array is not valid JSON.
    """
    decoder, at, counted = json.JSONDecoder(), 1, 0
    while True:
        begin = _end_of_space(text, at)
        line, counted = line + text.count("\n", counted, begin), begin
        if text[begin : begin + 1] == "]" and at == 1:
            return
        try:
            end = decoder.raw_decode(text, begin)[1]
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{path.name}, line {line}: the array is not valid JSON: {what}") from None
        yield line, text[begin:end]
        after = _end_of_space(text, end)
        if text[after : after + 1] == "]":
            if text[after + 1 :].strip():
                raise DataError(f"{path.name}: there is text after the end of the array")
            return
        if text[after : after + 1] != ",":
            raise DataError(f"{path.name}, line {line}: there is no comma after this value of the array")
        at = after + 1


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _json_object(text: str) -> tuple[dict[str, Any] | None, str]:
    """Returns the object in a line and "", or None and a description of the error."""
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
    """Returns the type of every column, or an error if its values have no common type, and the number of bad lines."""
    types: dict[str, pa.DataType | DataError] = {}
    skipped = 0
    for line, record in _json_lines(path, encoding, skip):
        skipped += record is None
        for key, value in (record or {}).items():
            known = types.get(key, _NOTHING)
            if not isinstance(known, DataError):
                types[key] = _wider_type(known, value) or DataError(
                    f"{path.name}, line {line}, column {key}: {shortened(str(value))}\n"
                    "has another type than the values above it: a column holds texts and numbers, or lists, or objects."
                )
    if not types:
        raise DataError(f"{path.name} is empty: there is no value in it")
    return types, skipped


def _wider_type(known: pa.DataType, value: Any) -> pa.DataType | None:
    """Returns the Arrow type for the values so far and this one; None if there is none."""
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


def _json_batches(
    records: Iterator[tuple[int, dict[str, Any]]], keys: Sequence[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for some in in_batches(records):
        columns = [
            [_fitted(record.get(key), column.type) for _, record in some]
            for key, column in zip(keys, schema, strict=True)
        ]
        yield pa.record_batch(
            [pa.array(values, column.type) for values, column in zip(columns, schema, strict=True)],
            schema=schema,
        )


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """Converts a JSON value to the type of its column."""
    if value is None or isinstance(value, str):
        return value
    if kind == pa.string():
        return json.dumps(value)
    return float(value) if kind == pa.float64() else value
