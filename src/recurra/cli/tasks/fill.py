"""`fill` on the command line: missing words of texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled, column_chunks, located, read_columns
from recurra.cli.support.options import FileOptions, FitOptions, PredictOptions, with_options
from recurra.cli.support.stdin import text_batches
from recurra.cli.support.values.completion import completing_parameter
from recurra.errors import UsageError

from .training import train as run

if TYPE_CHECKING:
    from recurra.data.readers.tables import DataFile

OPTIONS = ("input", "top", "choices", "marks")
"""See `recurra.cli.tasks`."""

ROWS = 1024  # predicted together


@with_options(FitOptions)
def fit(
    train: Annotated[Path, typer.Argument(help="Text file with one text a line, or a table.", metavar="TRAIN")],
    input: Annotated[
        str | None, typer.Option("--input", help="Column of texts of a table.", rich_help_panel="Data")
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            "--direction",
            help="Direction in which the model reads: both, forward or backward.",
            rich_help_panel="Network",
            autocompletion=completing_parameter("direction"),
        ),
    ] = None,
    *,
    options: FitOptions,
) -> None:
    """Train a model that fills blanks from the text before and after them. It needs no labels.

    [bold]Examples[/bold]

      recurra fit fill reviews.csv --input document --out my-filler
      recurra fit fill book.txt --out my-filler
      recurra fit fill reviews.csv --input document --tokens bpe --hidden-size 256 --out my-filler

    A table is a CSV, TSV, Excel, JSON Lines, Parquet or Arrow file, or a folder, pattern or URL of them. Without
    --input, TRAIN has one text a line.
    """
    for name in ("bidirectional", "pooling"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is not for fill; --direction selects the sides that the model reads")
    params = {"direction": direction} if direction else {}
    run("fill", train, options, lambda path, cache: read_texts(path, input, options, cache), params)


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads texts for a model: the column of the training data, or lines."""
    return read_texts(path, _column(estimator, path, options), options)


def predict(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields each text with its blanks filled, or the ranked candidates."""
    from recurra.data.columns.inputs import texts_of

    service = estimator.service()
    choices = None if options.choices is None else tuple(c.strip() for c in options.choices.split(","))
    given = service.Options(top=options.top, choices=choices, marks=options.marks)
    for texts, where in _chunks(estimator, source, options):
        with located(where):
            yield from service.answers(texts_of(texts), given)


def inputs(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[list[str]]]:
    """Yields the texts of a file or of standard input, in chunks."""
    return ((texts,) for texts, _ in _chunks(estimator, source, options))


def table_columns(estimator: Any, path: Path, options: PredictOptions) -> list[str] | None:
    """See `recurra.cli.tasks`."""
    column = _column(estimator, path, options)
    return None if column is None else [column]


def _chunks(
    estimator: Any, source: str | list[str], options: PredictOptions
) -> Iterator[tuple[list[str], Callable[[int], str]]]:
    """Yields chunks of texts, with a function that returns file and line of a text."""
    lines, start = text_batches(source), 0
    if lines is not None:
        for some in lines:
            yield some, lambda row, start=start: f"line {start + row + 1}"
            start += len(some)
        return
    path = Path(str(source))
    column = _column(estimator, path, options)
    parts = _read(path, None, options).slices(ROWS) if column is None else column_chunks(path, [column], options, ROWS)
    for part in parts:
        yield [text or "" for text in part.table.column(0).to_pylist()], part.where


def read_texts(path: Path, column: str | None, options: FileOptions, cache: Path | None = None) -> Labelled:
    """Reads the texts of a column, or the lines of a plain text if no column is named."""
    file = _read(path, column, options, cache)
    return Labelled((file.table.column(0),), file.where, {"input_column": column})


def _read(path: Path, column: str | None, options: FileOptions, cache: Path | None = None) -> DataFile:
    if column is not None:
        return read_columns(path, [column], options, cache)
    from recurra.data.readers.sniff import TABLE_SUFFIXES, table_suffix
    from recurra.data.readers.text_lines import read_lines

    if table_suffix(path) in TABLE_SUFFIXES:
        raise UsageError(f"{path.name} is a table: name its column of texts with --input")
    file = read_lines(path, options.encoding, cache_dir=cache)
    say(file.summary)
    return file


def _column(estimator: Any, path: Path, options: PredictOptions) -> str | None:
    """Returns the given column, or that of the training data unless the file is a plain text without it."""
    known = estimator.provenance_.input_column
    if options.input is not None or known is None:
        return options.input
    from recurra.data.readers.sniff import table_suffix

    return known if table_suffix(path) not in ("", ".txt") or _has_column(path, known) else None


def _has_column(path: Path, name: str) -> bool:
    """Returns whether the first line of a file is a header with this name."""
    from recurra.data.files.access import is_file
    from recurra.data.files.encoding import find_encoding, open_text

    if not is_file(path) or name.isdecimal():
        return True  # the reader reports the error
    with open_text(path, find_encoding(path)) as file:
        return name in (cell.strip('" \r\n') for cell in re.split(r"[\t,;|]", file.readline()))
