"""`generate` on the command line: language models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled, column_chunks, labels, read_columns
from recurra.cli.support.options import FileOptions, FitOptions, PredictOptions, with_options
from recurra.cli.support.stdin import text_batches
from recurra.errors import UsageError

from .training import train as run

if TYPE_CHECKING:
    from recurra.data.readers.tables import DataFile

__all__ = ["OPTIONS", "fit", "inputs", "predict", "read", "table_columns"]

OPTIONS = ("input", "condition", "top")
"""See `recurra.cli.tasks`."""

EVALUATE_OPTIONS = ("dynamic",)

ROWS = 4096  # predicted together


@with_options(FitOptions)
def fit(
    train: Annotated[
        Path,
        typer.Argument(
            help="Plain text; with --input a table, CSV, TSV, Excel, JSON Lines, Parquet or Arrow, or a folder, "
            "pattern or URL of tables.",
            metavar="TRAIN",
        ),
    ],
    input: Annotated[
        str | None, typer.Option("--input", help="Column of texts, one document per row.", rich_help_panel="Data")
    ] = None,
    condition: Annotated[
        str | None, typer.Option("--condition", help="Column of labels that texts depend on.", rich_help_panel="Data")
    ] = None,
    bptt: Annotated[
        int | None,
        typer.Option("--bptt", help="Steps of backpropagation through a running text.", rich_help_panel="Training"),
    ] = None,
    *,
    options: FitOptions,
) -> None:
    """Train a language model, which predicts the next token of a text.

    [bold]Examples[/bold]

      recurra fit generate novel.txt --out my-model
      recurra fit generate novel.txt --valid other.txt --tokens bpe --max-minutes 20 --out my-model
      recurra fit generate reviews.csv --input text --condition label --out my-model

    Plain text is one stream. Without --valid, its last tenth selects the best epoch.
    """
    if condition is not None and input is None:
        raise UsageError("--condition names a column of a table; name the column of texts with --input")
    run(
        "generate",
        train,
        options,
        lambda path, cache: _read(path, input, condition, options, cache),
        {} if bptt is None else {"bptt": bptt},
    )


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads a text or a table for a model. By default the columns are those of the training data."""
    input, condition = _columns(estimator, options)
    return _read(path, input, condition, options, None)


def predict(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields the most probable next tokens of each text."""
    from recurra.data.columns.inputs import texts_of
    from recurra.tasks.generate.service import Prompt

    service = estimator.service()
    for column, *labelled in inputs(estimator, source, options):
        texts = texts_of(column)
        conditions = labelled[0] if labelled and labelled[0] is not None else [None] * len(texts)
        yield from service.answers(list(map(Prompt, texts, conditions)), service.Options(top=options.top))


def inputs(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[Any, ...]]:
    """Yields the texts of a file or of standard input, with their labels if the model has labels, in chunks."""
    lines, label = text_batches(source), options.condition
    if lines is not None:
        return ((some, None if label is None else [label] * len(some)) for some in lines)
    input, condition = _columns(estimator, options)
    if input is not None:
        names = [input] if condition is None else [input, condition]
        return map(_texts_and_labels, column_chunks(Path(str(source)), names, options, ROWS))
    text = _read(Path(str(source)), None, None, options, None).arguments[0]
    columns = (text.removesuffix("\n").split("\n"),)
    return (tuple(column[i : i + ROWS] for column in columns) for i in range(0, len(columns[0]), ROWS))


def table_columns(estimator: Any, path: Path, options: PredictOptions) -> list[str] | None:
    """See `recurra.cli.tasks`."""
    input, condition = _columns(estimator, options)
    return None if input is None else [input] if condition is None else [input, condition]


def _texts_and_labels(file: DataFile) -> tuple[Any, ...]:
    """Returns the column of texts and, if there is a second column, the labels."""
    return (file.table.column(0), *(labels(column) for column in file.table.columns[1:]))


def _columns(estimator: Any, options: PredictOptions) -> tuple[str | None, str | None]:
    """Returns the columns of texts and of labels; None for plain text and for no labels."""
    input = options.input or estimator.provenance_.input_column
    condition = options.condition or estimator.provenance_.condition_column
    return input, condition if len(estimator.classes_) else None


def _read(path: Path, input: str | None, condition: str | None, options: FileOptions, cache: Path | None) -> Labelled:
    """Reads a plain text, or the columns of a table.

    Raises:
        DataError: the file or a column cannot be read.
        UsageError: the file is a table, and no column is named.
    """
    from recurra.data.files.access import is_file
    from recurra.data.readers.sniff import TABLE_SUFFIXES, table_suffix
    from recurra.data.readers.text_lines import read_text

    if input is not None:
        names = [input] if condition is None else [input, condition]
        file = read_columns(path, names, options, cache)
        known = {"input_column": input, "condition_column": condition}
        return Labelled(_texts_and_labels(file), file.where, {k: v for k, v in known.items() if v is not None})
    if is_file(path) and table_suffix(path) in TABLE_SUFFIXES:
        raise UsageError(
            f"{path.name} is a table: name its column of texts with --input\n"
            "to learn the table's own letters, give the file a name that ends in .txt"
        )
    text, summary = read_text(path, options.encoding)
    say(summary)
    return Labelled((text,), None, {})
