"""Options and readers that `classify` and `regress` share: files of sequences with one target each."""

# no `from __future__ import annotations`: typer needs the annotations themselves

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled
from recurra.cli.support.options import FileOptions, FitOptions, LongTableOptions, PartOptions, PredictOptions
from recurra.cli.support.stdin import text_batches
from recurra.cli.support.values.completion import completing_parameter
from recurra.errors import UsageError

from .large import add_parts, evaluate_parts, large_source
from .sources import Columns, read_chunks, read_source, refuse_numbers
from .training import train

Train = Annotated[
    Path,
    typer.Argument(
        help="CSV, TSV, Excel, JSON Lines, Parquet or Arrow table, or a folder, pattern or URL of tables; .ts or .npz. "
        "Text files may be compressed.",
        metavar="TRAIN",
    ),
]


def _column(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel="Data")


@dataclass(frozen=True)
class SequenceFitOptions(FitOptions, LongTableOptions):
    """Options of `recurra fit classify` and `recurra fit regress`."""

    input: Annotated[str | None, _column("--input", "Column of sequences, one per row.")] = None
    target: Annotated[str | None, _column("--target", "Column to predict; several: load,price.")] = None
    features: Annotated[
        str | None,
        _column(
            "--features",
            "Columns of numbers and categories, separated by commas. Without --id each row is one item.",
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Numeric series: what the layers read: steps, segments, parts or spectra. auto chooses.",
            rich_help_panel="Network",
            autocompletion=completing_parameter("preset"),
        ),
    ] = None
    members: Annotated[
        int | None,
        typer.Option(
            "--members",
            help="Numeric series: networks whose answers are averaged. Default: 5 for 20 to 499 series, else 1.",
            rich_help_panel="Network",
            min=1,
        ),
    ] = None

    def params(self) -> dict[str, Any]:
        """Returns the parameters that were given."""
        given = {"preset": self.preset, "members": self.members}
        return super().params() | {name: value for name, value in given.items() if value is not None}


def fit(
    task: str,
    path: Path,
    options: SequenceFitOptions,
    params: dict[str, Any] | None = None,
    separator: str | None = None,
) -> None:
    """Trains on a file; `separator` is the text between the labels in a cell."""
    columns = replace(Columns.of(options), separator=separator)

    def read(file: Path, cache: Path | None) -> Labelled:
        nonlocal columns
        large = large_source(task, file, columns, options, cache) if file is path and cache is not None else None
        found = large or read_labelled(task, file, columns, options, cache)
        if file is path and options.tokens is None and large is None:
            refuse_numbers(found.arguments[0], path, columns)
        if file is path and large is None:
            columns = columns.as_trained(found.names)
        return found

    train(task, path, options, read, params)


def read_labelled(task: str, path: Path, columns: Columns, options: FileOptions, cache: Path | None = None) -> Labelled:
    """Reads sequences and targets.

    Raises:
        DataError: the file or a column cannot be read.
    """
    return read_source(task, path, columns, options, cache).labelled()


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads a labelled file for a model. By default the columns are those of the training data."""
    return read_labelled(estimator.task, path, Columns.of(options, estimator.provenance_), options)


def say_too_few(estimator: Any, options: PredictOptions) -> None:
    """Reports if the data of the calibration do not suffice for --coverage; workers do not repeat it."""
    if options.coverage is not None and not isinstance(options, PartOptions):
        note = estimator.calibration().note(options.coverage, estimator.without_limit)
        if note:
            say(f"warning: {note}")


def evaluate(estimator: Any, path: Path, options: PredictOptions) -> dict[str, Any] | None:
    """Evaluates a model on a large table in parts; None for other data, which `read` reads."""
    say_too_few(estimator, options)
    return evaluate_parts(estimator, path, Columns.of(options, estimator.provenance_), options)


def predict(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields the answer for each sequence of a file or of standard input, in chunks."""
    from recurra.data.columns.inputs import as_sequences

    if options.plot is not None:
        raise UsageError("--plot of a classifier is an option of recurra evaluate")
    service = estimator.service()
    say_too_few(estimator, options)
    given = service.Options(proba=options.proba, coverage=options.coverage)
    for chunk, ids in chunks(estimator, source, options):
        for i, answer in enumerate(service.answers(as_sequences(chunk), given)):
            yield answer if ids is None else {"id": ids[i], **answer}


def table_columns(estimator: Any, path: Path, options: PredictOptions) -> list[str] | None:
    """See `recurra.cli.tasks`."""
    from recurra.data.files.places import find_files
    from recurra.data.readers.sniff import TABLE_SUFFIXES, table_suffix

    columns = Columns.of(options, estimator.provenance_)
    if columns.of_items and columns.features:
        raise UsageError(
            "items in rows with --features cannot be divided; leave --workers out, and give a file in --out"
        )
    if columns.features:
        raise UsageError("a long table (--features) cannot be divided: the rows of a sequence may be anywhere in it")
    first = Path(find_files(path)[0].name)
    if columns.one_row_each(first) and estimator.encoder_.kind != "audio":
        return [str(columns.input)]
    if columns.input is None and table_suffix(first) in TABLE_SUFFIXES:
        raise UsageError(f"name the column of sequences of {path.name} with --input")
    return None


def add(running: Any, estimator: Any, path: Path, options: PredictOptions) -> None:
    """See `recurra.cli.tasks`."""
    add_parts(running, estimator, path, Columns.of(options, estimator.provenance_), options)


def inputs(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[Any]]:
    """Yields the sequences of a file or of standard input, in chunks."""
    return ((chunk,) for chunk, _ in chunks(estimator, source, options))


def chunks(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[Any, Any]]:
    """Yields chunks of sequences with their ids."""
    lines = text_batches(source)
    if lines is not None:
        if estimator.encoder_.kind != "text":
            raise UsageError("this model was not trained on texts, and standard input is for texts only")
        return ((chunk, None) for chunk in lines)
    columns = Columns.of(options, estimator.provenance_)
    sounds = estimator.encoder_.kind == "audio"
    return read_chunks(estimator.task, Path(str(source)), columns, options, sounds=sounds)
