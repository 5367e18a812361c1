"""From file names on the command line to the columns that an estimator takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import DataError, UsageError

from .console import say
from .options import Reading

if TYPE_CHECKING:
    import numpy as np

    from recurra.data.readers import DataFile


@dataclass(frozen=True)
class Columns:
    """Input and target of one file.

    Attributes:
        file: where they were read from.
        inputs: Arrow column of texts or of lists of numbers.
        targets: one value per row, or None if none was asked for.
    """

    file: DataFile
    inputs: Any
    targets: np.ndarray | None


def read_columns(
    path: Path, input: str, target: str | None, options: Reading, *, task: str, cache: Path | None = None
) -> Columns:
    """Reads the named columns and says what was found.

    Raises:
        DataError: the file or a column cannot be read.
    """
    from recurra.data.numbers import parse_numbers
    from recurra.data.readers import ReadOptions, read_table

    names = [input] if target is None else [input, target]
    how = ReadOptions(options.encoding, options.delimiter, options.header, options.skip_bad_rows)
    file = read_table(path, names, how, cache_dir=cache)
    say(file.summary)
    inputs = file.table.column(0)
    if target is None:
        return Columns(file, inputs, None)
    column = file.table.column(1)
    if task == "regress":
        return Columns(file, inputs, parse_numbers(column, name=target, where=file.where))
    return Columns(file, inputs, _labels(column))


def _labels(column: Any) -> np.ndarray:
    """Classes verbatim as strings, so that files of all kinds agree; None where there is none."""
    import numpy as np

    return np.array([None if v is None or v == "" else str(v) for v in column.to_pylist()], dtype=object)


@contextmanager
def located(file: DataFile) -> Iterator[None]:
    """Adds file and line to a data error that knows its row."""
    try:
        yield
    except DataError as error:
        if error.row is None:
            raise
        raise DataError(f"{file.where(error.row)}: {error}") from None


def column_names(model: Any, input: str | None, target: str | None) -> tuple[str, str]:
    """The columns to read: those given, else those that the model was trained on.

    Raises:
        UsageError: neither is known.
    """
    found = (input or model.data_.get("input column"), target or model.data_.get("target column"))
    if None in found:
        raise UsageError("the model does not know its columns; name them with --input and --target")
    return found  # type: ignore[return-value]


def write_rows(path: Path, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    """Writes predictions as .csv, .tsv, .jsonl or .parquet, complete or not at all.

    Raises:
        UsageError: the suffix is none of these.
    """
    import json

    import pyarrow as pa
    from pyarrow import csv, parquet

    table = pa.table(dict(zip(names, columns, strict=True)))
    partial = path.with_name(f".{path.name}.partial")
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            parquet.write_table(table, partial)
        elif suffix in (".csv", ".tsv"):
            options = csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",", quoting_style="needed")
            csv.write_csv(table, partial, options)
        elif suffix in (".jsonl", ".ndjson"):
            with partial.open("w", encoding="utf-8") as file:
                for row in table.to_pylist():
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            raise UsageError(f"{path} should end in .csv, .tsv, .jsonl or .parquet")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
