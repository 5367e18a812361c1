"""`tag` on the command line: a tag for each word."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra._util.atomic import written
from recurra.cli.support.console import say
from recurra.cli.support.files import Labelled
from recurra.cli.support.options import FileOptions, FitOptions, PredictOptions, with_options
from recurra.cli.support.stdin import text_batches

from .training import train as run

OPTIONS = ("input", "target", "proba")
"""See `recurra.cli.tasks`."""

Train = Annotated[Path, typer.Argument(help="CoNLL-U, or columns with a word a line; also gzipped.", metavar="TRAIN")]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="Column of tags: upos, xpos, … or a number from 1. UPOS of CoNLL-U, the last one of columns if left out.",
        rich_help_panel="Data",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="Column of words: form, … or a number from 1. FORM of CoNLL-U, the first one of columns if left out.",
        rich_help_panel="Data",
    ),
]
Crf = Annotated[
    bool | None, typer.Option("--crf/--no-crf", help="Learn which tag follows which.", rich_help_panel="Network")
]
Characters = Annotated[
    str | None,
    typer.Option(
        "--characters", help="jamo: also the letters of Hangul; char; none: words only.", rich_help_panel="Network"
    ),
]

SENTENCES = 1024  # predicted together
FILES = (".conllu", ".conll", ".txt", ".bio", ".iob")
"""Suffixes of `recurra predict --out` for which the input file is written with predicted tags."""


@with_options(FitOptions, without=("tokens", "pooling"))
def fit(
    train: Train,
    target: Target = None,
    input: Input = None,
    crf: Crf = None,
    characters: Characters = None,
    *,
    options: FitOptions,
) -> None:
    """Train a tagger: a tag for each word of a sentence.

    [bold]Examples[/bold]

      recurra fit tag train.conllu --target upos --valid dev.conllu --out my-tagger
      recurra fit tag names.txt --crf --out my-tagger
      recurra fit tag train.conllu --target xpos --cell gru --out my-tagger --resume

    A tab or spaces separate columns, and a blank line separates sentences. Words with the tag _ are not trained on.
    """
    own = {"crf": crf, "characters": characters}
    params = {name: value for name, value in own.items() if value is not None}
    names = {"target_column": target, "input_column": input}
    names = {name: value for name, value in names.items() if value is not None}

    def read_one(path: Path, cache: Path | None) -> Labelled:
        file = _read(path, options, target, input)
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
    from recurra._util.messages import counted, listed
    from recurra.tasks.tag.estimator import unseen_tags

    file = _for_model(estimator, path, options, tagged=True)
    unseen = unseen_tags(estimator, file.tags)
    if unseen:
        count = counted(sum(unseen.values()), "word")
        say(f"{count} with a tag that was not in the training data ({listed(sorted(unseen), 5)}): counted as errors")
    return Labelled((file.words, file.tags), file.where, {})


def predict(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields words and tags of each sentence. Lines of standard input are split at white space."""
    service = estimator.service()
    given = service.Options(proba=options.proba)
    return (row for (chunk,) in inputs(estimator, source, options) for row in service.answers(chunk, given))


def inputs(estimator: Any, source: str | list[str], options: PredictOptions) -> Iterator[tuple[list[list[str]]]]:
    """Yields the sentences of a file or of standard input, in chunks."""
    lines = text_batches(source)
    if lines is not None:
        return (([line.split() for line in some],) for some in lines)
    words = _for_model(estimator, Path(str(source)), options, tagged=False).words
    return ((chunk,) for chunk in _chunks(words))


def table_columns(estimator: Any, path: Path, options: PredictOptions) -> None:
    """See `recurra.cli.tasks`. A file is predicted as a whole."""


def _chunks(sentences: list[list[str]]) -> Iterator[list[list[str]]]:
    return (sentences[i : i + SENTENCES] for i in range(0, len(sentences), SENTENCES))


def write(estimator: Any, source: str, options: PredictOptions, out: Path) -> bool:
    """Writes the input file with predicted tags if `out` has a suffix of `FILES`. Returns whether it did."""
    from recurra.data.readers.conll import filled

    if out.suffix.lower() not in FILES or source == "-":
        return False
    file = _for_model(estimator, Path(source), options, tagged=False)
    tags = itertools.chain.from_iterable(map(estimator.predict, _chunks(file.words)))
    with written(out) as partial, partial.open("w", encoding=file.layout.encoding, newline="") as text:
        text.writelines(filled(file, list(tags)))
    say(f"{len(file.words):,} sentences written to {out}")
    return True
