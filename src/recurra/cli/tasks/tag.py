"""`tag` on the command line: a tag for each word, or for each row of a long table of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra._util.atomic import written
from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled
from recurra.cli.support.options import FileOptions, FitOptions, LongTableOptions, PredictOptions, with_options
from recurra.cli.support.stdin import text_batches
from recurra.cli.support.values.completion import completing_parameter
from recurra.errors import UsageError

from . import TIMES
from .tables import steps
from .tables.columns import tags_steps
from .training import train as run

OPTIONS = ("input", "target", "proba", "id", "time", "features", *TIMES)
"""See `recurra.cli.tasks`."""

Train = Annotated[
    Path,
    typer.Argument(
        help="CoNLL-U, or columns with a word a line; with --features a table with a step a row. Also gzipped.",
        metavar="TRAIN",
    ),
]
Crf = Annotated[
    bool | None, typer.Option("--crf/--no-crf", help="Learn which tag follows which.", rich_help_panel="Network")
]
Characters = Annotated[
    str | None,
    typer.Option(
        "--characters",
        help="jamo: also the letters of Hangul; char; none: words only.",
        rich_help_panel="Network",
        autocompletion=completing_parameter("characters"),
    ),
]

SENTENCES = 1024  # predicted together
FILES = (".conllu", ".conll", ".txt", ".bio", ".iob")
"""Suffixes of `recurra predict --out` for which the input file is written with predicted tags."""


@dataclass(frozen=True)
class TagFitOptions(FitOptions, LongTableOptions):
    """Options of `recurra fit tag`."""

    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="Column of tags: upos, xpos, … or a number from 1. UPOS of CoNLL-U, the last one of columns if left "
            "out. Of a table, its name.",
            rich_help_panel="Data",
        ),
    ] = None
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Column of words: form, … or a number from 1. FORM of CoNLL-U, the first one of columns if left out.",
            rich_help_panel="Data",
        ),
    ] = None


@with_options(TagFitOptions, without=("tokens", "pooling"))
def fit(
    train: Train,
    crf: Crf = None,
    characters: Characters = None,
    *,
    options: TagFitOptions,
) -> None:
    """Train a tagger: a tag for each word of a sentence, or for each row of a table of sensor values.

    [bold]Examples[/bold]

      recurra fit tag train.conllu --target upos --valid dev.conllu --out my-tagger
      recurra fit tag names.txt --crf --out my-tagger
      recurra fit tag train.conllu --target xpos --cell gru --out my-tagger --resume
      recurra fit tag walks.csv --id walk --time second --features x,y,z --target activity --out my-tagger

    A tab or spaces separate columns, and a blank line separates sentences. Words with the tag _ are not trained on.
    """
    own = {"crf": crf, "characters": characters}
    params = {name: value for name, value in own.items() if value is not None}
    names = {"target_column": options.target, "input_column": options.input}
    names = {name: value for name, value in names.items() if value is not None}
    if steps.is_table(options):
        if options.input is not None:
            raise UsageError("give --input for one word a line, or --features for one step a row, not both")
        if characters is not None:
            raise UsageError("--characters is for words; the steps of a table are numbers")
        run("tag", train, options, steps.reader(train, options), params)
        return

    def read_one(path: Path, cache: Path | None) -> Labelled:
        file = _read(path, options, options.target, options.input)
        return Labelled((file.words, file.tags), file.where, names)

    run("tag", train, options, read_one, params)


def _read(path: Path, options: FileOptions, target: str | None, input: str | None, *, tagged: bool = True) -> Any:
    from recurra.data.readers.conll import read_conll

    file = read_conll(
        path,
        target,
        input,
        tagged=tagged,
        encoding=options.encoding,
        delimiter=options.delimiter,
        header=bool(options.header),
        skip_bad_rows=options.skip_bad_rows,
    )
    say(file.summary)
    return file


def _for_model(estimator: Any, path: Path, options: PredictOptions, *, tagged: bool) -> Any:
    """Reads a file. By default the columns are those of the training data."""
    target = options.target or estimator.provenance_.target_column
    input = options.input or estimator.provenance_.input_column
    return _read(path, options, target, input, tagged=tagged)


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads a labelled file for a model."""
    if tags_steps(estimator):
        found = steps.labelled(estimator, path, options)
        _say_unseen(estimator, found.arguments[1], "step")
        return found
    file = _for_model(estimator, path, options, tagged=True)
    _say_unseen(estimator, file.tags, "word")
    return Labelled((file.words, file.tags), file.where, {})


def _say_unseen(estimator: Any, tags: Any, step: str) -> None:
    """Reports tags that the model never saw."""
    from recurra._util.messages import counted, listed
    from recurra.tasks.tag.estimator import unseen_tags

    unseen = unseen_tags(estimator, tags)
    if unseen:
        count = counted(sum(unseen.values()), step)
        say(f"{count} with a tag that was not in the training data ({listed(sorted(unseen), 5)}): counted as errors")


def predict(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields words and tags of each sentence, or the tag of each row of a table.

    Lines of standard input are split at white space.
    """
    if tags_steps(estimator):
        return steps.predict(estimator, source, options)
    service = estimator.service()
    given = service.Options(proba=options.proba)
    return (row for (chunk,) in inputs(estimator, source, options) for row in service.answers(chunk, given))


def inputs(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[Any]]:
    """Yields the sentences of a file or of standard input, or the sequences of a table, in chunks."""
    return ((chunk,) for chunk, _ in chunks(estimator, source, options))


def chunks(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[Any, Any]]:
    """Yields the same, with the ids of the sequences of a table."""
    if tags_steps(estimator):
        return steps.chunks(estimator, source, options)
    lines = text_batches(source)
    if lines is not None:
        return (([line.split() for line in some], None) for some in lines)
    words = _for_model(estimator, Path(str(source)), options, tagged=False).words
    return ((chunk, None) for chunk in _chunks(words))


def table_columns(estimator: Any, path: Path, options: PredictOptions) -> None:
    """See `recurra.cli.tasks`. A file is predicted as a whole."""


def _chunks(sentences: list[list[str]]) -> Iterator[list[list[str]]]:
    return (sentences[i : i + SENTENCES] for i in range(0, len(sentences), SENTENCES))


def write(estimator: Any, source: str, options: PredictOptions, out: Path) -> bool:
    """Writes the input file with predicted tags if `out` has a suffix of `FILES`. Returns whether it did."""
    from recurra.data.readers.conll import filled

    if out.suffix.lower() not in FILES or source == "-" or tags_steps(estimator):
        return False
    file = _for_model(estimator, Path(source), options, tagged=False)
    tags = itertools.chain.from_iterable(map(estimator.predict, _chunks(file.words)))
    with written(out) as partial, partial.open("w", encoding=file.layout.encoding, newline="") as text:
        text.writelines(filled(file, list(tags)))
    say(f"{len(file.words):,} sentences written to {out}")
    return True
