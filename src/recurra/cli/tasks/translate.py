"""`translate` on the command line: from a text to its translation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled, column_chunks, read_columns
from recurra.cli.support.options import FileOptions, FitOptions, PredictOptions, with_options
from recurra.cli.support.rows import write_rows
from recurra.cli.support.stdin import text_batches
from recurra.errors import DataError, UsageError

from .training import train as run

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OPTIONS", "fit", "inputs", "predict", "read", "table_columns"]

OPTIONS = ("input", "source", "target", "target_file", "n_best", "bleu_tokens", "beam", "plot")
"""See `recurra.cli.tasks`."""

SOURCE, TARGET = "source", "target"
"""Names of the columns if a model was trained on two files."""

ROWS = 256  # translated together

Train = Annotated[
    Path,
    typer.Argument(
        help="CSV, TSV, Excel, JSON Lines, Parquet or Arrow table, or a folder, pattern or URL of tables; or, with "
        "--target-file, one text a line.",
        metavar="TRAIN",
    ),
]


class Sides(NamedTuple):
    """Location of the two sides of the pairs: columns of a table, or a second file."""

    source: str | None
    target: str | None
    target_file: Path | None


@with_options(FitOptions)
def fit(
    train: Train,
    source: Annotated[
        str | None, typer.Option("--source", help="Column of texts, by name or position.", rich_help_panel="Data")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Column of their translations.", rich_help_panel="Data")
    ] = None,
    target_file: Annotated[
        Path | None,
        typer.Option("--target-file", help="Instead: file whose lines pair up with TRAIN's.", rich_help_panel="Data"),
    ] = None,
    valid_target_file: Annotated[
        Path | None,
        typer.Option("--valid-target-file", help="The same for --valid.", rich_help_panel="Data"),
    ] = None,
    hold_out: Annotated[
        float,
        typer.Option(
            "--hold-out",
            help="Keep this share of the distinct sources for a test and write them to OUT.held-out.tsv.",
            min=0,
            max=0.9,
            rich_help_panel="Data",
        ),
    ] = 0.0,
    label_smoothing: Annotated[
        float | None,
        typer.Option("--label-smoothing", help="Share of probability spread.", rich_help_panel="Training"),
    ] = None,
    neighbours: Annotated[
        int | None,
        typer.Option(
            "--neighbours", help="Training pairs kept for evaluate's baseline.", min=0, rich_help_panel="Training"
        ),
    ] = None,
    *,
    options: FitOptions,
) -> None:
    """Train a translator: a target text for each source text.

    [bold]Examples[/bold]

      recurra fit translate pairs.csv --source english --target korean
      recurra fit translate kor.txt --source 1 --target 2 --hold-out 0.1 --out my-model
      recurra fit translate train.en --target-file train.ko --valid dev.en --valid-target-file dev.ko

    A source may have several translations, one per row. A split keeps them together.
    Pairs with an empty side are left out.
    """
    table = source is not None and target is not None
    if table == (target_file is not None) or (source is None) != (target is None):
        raise UsageError("give --source and --target for a table, or --target-file for two files of lines")
    if target_file is not None and getattr(options, "test", None) is not None:
        raise UsageError("--test is for tables; of two files, a part of the training data measures the result")
    if options.valid is not None and (target_file is None) != (valid_target_file is None):
        raise UsageError("--valid has the form of TRAIN: two files need --valid-target-file, a table does not")

    def read(path: Path, cache: Path | None) -> Labelled:
        if path is train and hold_out:
            return _set_apart(path, Sides(source, target, target_file), hold_out, options, cache)
        return _labelled(
            path, Sides(source, target, target_file if path is train else valid_target_file), options, cache
        )

    own = {"label_smoothing": label_smoothing, "neighbours": neighbours}
    run("translate", train, options, read, {name: value for name, value in own.items() if value is not None})


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads pairs for a model. By default the columns are those of the training data."""
    _ask(estimator, options)
    known = estimator.provenance_
    source = _source_column(estimator, options)
    return _labelled(path, Sides(source, options.target or known.target_column, options.target_file), options, None)


def predict(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields the translation of each text with its score, and with `--n-best` a row for each of the best."""
    from recurra.data.columns.inputs import texts_of

    service, count, plot = estimator.service(), 0, options.plot
    given = service.Options(beam=options.beam, n_best=options.n_best)
    for (chunk,) in inputs(estimator, source, options):
        for count, answer in enumerate(service.answers(texts_of(chunk), given), count + 1):  # noqa: B020
            yield from ({"row": count, **found} for found in service.rows(answer))
        if plot is not None and any(text.strip() for text in chunk):
            text = next(text for text in chunk if text.strip())
            note = estimator.align(text).plot(plot)
            say(f"attention of {text!r}: {plot}" + (f"\n{note}" if note else ""))
            plot = None  # of the first text


def _ask(estimator: Any, options: PredictOptions) -> None:
    """Sets the beam of the search and the tokens of BLEU."""
    beams = max(options.beam or estimator.beam_size, options.n_best or 1)
    estimator.set_params(beam_size=beams)
    estimator.bleu_tokens_ = options.bleu_tokens or estimator.bleu_tokens_


def inputs(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[list[str]]]:
    """Yields the texts of a file or of standard input, in chunks."""
    _ask(estimator, options)
    lines = text_batches(source)
    if lines is not None:
        return ((part,) for some in lines for part in _parts(some))
    name, path = _source_column(estimator, options), Path(str(source))
    if name is None:  # the model was trained on files of lines
        from recurra.data.readers.text_lines import read_lines

        file = read_lines(path, options.encoding)
        say(file.summary)
        return ((part.to_pylist(),) for part in _parts(file.table.column(0)))
    chunks = column_chunks(path, [name], options, ROWS)
    return (([text or "" for text in part.table.column(0).to_pylist()],) for part in chunks)


def table_columns(estimator: Any, path: Path, options: PredictOptions) -> list[str] | None:
    """See `recurra.cli.tasks`."""
    name = _source_column(estimator, options)
    return None if name is None else [name]


def _source_column(estimator: Any, options: PredictOptions) -> str | None:
    return options.source or options.input or estimator.provenance_.source_column


def _parts(rows: Any) -> Iterator[Any]:
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))


def _labelled(path: Path, sides: Sides, options: FileOptions, cache: Path | None) -> Labelled:
    if sides.target_file is not None:
        from recurra.data.readers.parallel_text import read_parallel

        sources, targets, said = read_parallel(path, sides.target_file, options.encoding)
        say(said)
        return Labelled((sources, targets), None, {"file_of_translations": sides.target_file.name})
    source, target = sides.source or SOURCE, sides.target or TARGET
    file = read_columns(path, [source, target], options, cache)
    names = {"source_column": source, "target_column": target}
    return Labelled((file.table.column(0), file.table.column(1)), file.where, names)


def _whole(path: Path, other: Path | None, options: FileOptions) -> tuple[pa.Table, Callable[[int], str] | None]:
    """Reads all columns of a table, or two files as one. Also returns a function for file and line of a row."""
    import pyarrow as pa

    if other is None:
        from recurra.data.readers.tables import read_table

        file = read_table(path, None, options.how())
        say(file.summary)
        return file.table, file.where
    from recurra.data.readers.parallel_text import read_parallel

    sources, targets, said = read_parallel(path, other, options.encoding)
    say(said)
    return pa.table({SOURCE: list(sources), TARGET: list(targets)}), None


def _set_apart(path: Path, sides: Sides, share: float, options: FitOptions, cache: Path | None) -> Labelled:
    """Writes the rows of a share of the sources to a held-out file and returns the other rows."""
    import filecmp

    import numpy as np

    from recurra.data.batching.split import hold_out_groups
    from recurra.data.columns.inputs import Texts, as_sequences
    from recurra.data.columns.pairs import source_groups
    from recurra.data.files.table import choose_columns

    table, where = _whole(path, sides.target_file, options)
    names = table.column_names
    at = choose_columns(path, names, [sides.source or SOURCE, sides.target or TARGET])
    sources = as_sequences(table.column(at[0]))
    if not isinstance(sources, Texts):
        raise DataError(
            f"{path.name}, column {names[at[0]]}: these are not texts; translation needs a text on each side"
        )
    texts = [text for chunk in sources.chunks() for text in chunk]
    apart = hold_out_groups(source_groups(texts), share, options.random_state or 0)
    if not apart.any():
        raise UsageError(f"--hold-out {share:g} of {len(texts):,} rows leaves nothing to test on")
    # columns without a name are numbered, and a header of numbers would look like data
    plain = {at[0]: SOURCE, at[1]: TARGET}
    header = [plain.get(i, f"column {name}") if name == str(i + 1) else name for i, name in enumerate(names)]
    out = options.out.with_name(f"{options.out.name}.held-out.tsv")
    held = table.take(np.flatnonzero(apart))
    cells = zip(*(column.to_pylist() for column in held.columns), strict=True)
    rows_held = [dict(zip(header, row, strict=True)) for row in cells]
    if out.exists() and cache is not None and not options.overwrite:
        again = cache / "held-out.tsv"
        write_rows(again, rows_held)
        if not filecmp.cmp(out, again, shallow=False):
            raise UsageError(f"{out} contains other pairs; move it, or add --overwrite to replace it")
    else:
        write_rows(out, rows_held)
    say(f"{held.num_rows:,} pairs held out: {out}")
    rows = np.flatnonzero(~apart)
    kept = table.take(rows)
    columns = {} if sides.target_file else {"source_column": sides.source, "target_column": sides.target}
    place = None if where is None else lambda row: where(int(rows[row]))
    return Labelled((kept.column(at[0]), kept.column(at[1])), place, {**columns, "held_out": out.name})
