"""What `classify` and `regress` share: tables with a column of sequences and a column of targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.files import Labelled, labels, read_columns
from recurra.cli.lines import lines_at_hand
from recurra.cli.options import Asking, Reading
from recurra.cli.sounds import as_sounds, read_sounds
from recurra.errors import UsageError

Train = Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines or Parquet file, also gzipped.", metavar="TRAIN")]
Input = Annotated[str, typer.Option("--input", help="Column that holds the sequences.", rich_help_panel="Data")]
Target = Annotated[str, typer.Option("--target", help="Column to predict.", rich_help_panel="Data")]

ROWS = 4096  # predicted together


def read_labelled(
    task: str, path: Path, input: str, target: str, options: Reading, cache: Path | None = None
) -> Labelled:
    """Reads sequences and targets.

    Raises:
        DataError: the file or a column cannot be read.
    """
    from recurra.data.numbers import parse_numbers

    file = read_columns(path, [input, target], options, cache)
    column = file.table.column(1)
    found = parse_numbers(column, name=target, where=file.where) if task == "regress" else labels(column)
    names = {"input column": input, "target column": target}
    return Labelled((as_sounds(file.table.column(0), path.parent, file.where), found), file.where, names)


def read(estimator: Any, path: Path, options: Asking) -> Labelled:
    """Reads a labelled file for a model; columns as in training, if none are given."""
    input = options.input or estimator.data_.get("input column")
    target = options.target or estimator.data_.get("target column")
    if input is None or target is None:
        raise UsageError("the model does not know its columns; name them with --input and --target")
    return read_labelled(estimator.task, path, input, target, options)


def predict(
    estimator: Any, source: str, options: Asking, rows_of: Callable[[Any], Iterator[dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Predictions for the rows of a file or the lines on standard input, chunk by chunk."""
    if source == "-":
        if estimator.encoder_.kind != "text":
            raise UsageError("the model was not trained on texts, and standard input takes nothing else")
        chunks: Iterator[Any] = lines_at_hand()
    else:
        column = read_sounds(options.input or estimator.data_.get("input column"), source, options)
        chunks = (column[i : i + ROWS] for i in range(0, len(column), ROWS))
    return (row for chunk in chunks for row in rows_of(chunk))
