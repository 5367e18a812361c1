"""What the command line does differently for each shape of sequence: one module for each, named as its task.

Each module has

- `fit`: the command `recurra fit TASK`;
- `read(estimator, path, options)`: a labelled file as `Labelled`, for `recurra evaluate`;
- `inputs(estimator, source, options)`: an iterator of tuples, the first arguments of the estimator's `subject` for some
  sequences at a time; `source` is a file name, `-` for standard input or, where sequences are texts, a list of them;
- `predict(estimator, source, options)`: an iterator of dictionaries, one for each row of the answer, for
  `recurra predict`; `source` as in `inputs`.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from recurra.errors import DataError, UsageError

SHAPES = ("classify", "regress", "tag", "forecast", "generate", "translate", "fill", "transcribe")
"""In the order of `recurra fit --help`."""


def shape_of(task: str) -> ModuleType:
    """The module of a task."""
    return import_module(f".{task}", __name__)


FILES = (
    *(".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".ts", ".npz", ".txt", ".conllu", ".conll"),
    *(".bio", ".iob", ".gz", ".bz2", ".xz", ".xlsx", ".xls", ".ods", ".hwp", ".hwpx", ".pdf", ".zip"),
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au"),
)
"""What ends in one of these, and has no space in it, is a file even where there is none."""


def source_of(estimator: Any, given: str) -> str | list[str]:
    """What an argument TEXT|DATA|- means.

    Args:
        estimator: the model.
        given: the argument.

    Returns:
        `-` for standard input, the name of a file or folder that exists, or a list with one text, where the model
        takes texts.

    Raises:
        DataError: the argument is neither a file nor a text that the model takes.
    """
    from recurra.data.files.access import is_file, is_folder, refuse_no_file

    if given == "-" or (given and (is_file(given) or is_folder(given))):
        return given
    named = given.lower().endswith(FILES) or given.startswith(("/", "./", "../", "~"))
    if not reads_text(estimator) or (named and not any(map(str.isspace, given))):
        try:
            refuse_no_file(Path(given))
        except DataError as error:
            if named:
                raise
            raise DataError(f"{error}\nThis model takes files of numbers or recordings, not texts.") from None
    return [os.fsencode(given).decode("utf-8", "replace")]


def one(estimator: Any, source: str | list[str], options: Any, row: int = 1) -> tuple[Any, ...]:
    """One sequence of a source, for the tools that look inside.

    Args:
        estimator: the model.
        source: as `source_of` gives it.
        options: as of `recurra predict`, a `recurra.cli.support.options.Asking`.
        row: which sequence, counted from 1 as `recurra predict` numbers its answers; of a forecaster, which series.

    Returns:
        The first arguments of `estimator.subject`: the sequence by itself in a list (or whatever holds sequences of
        its kind), and for a language model with labels the labels.

    Raises:
        DataError: the source cannot be read.
        UsageError: there is no such row.
    """
    before = 0
    for columns in shape_of(estimator.task).inputs(estimator, source, options):
        count = len(columns[0])
        if before < row <= before + count:
            at = slice(row - before - 1, row - before)
            return tuple(column if column is None else column[at] for column in columns)
        before += count
    where = source if isinstance(source, str) else "the text"
    raise UsageError(f"there is no row {row} in {where}: rows are counted from 1 to {before:,}")


def reads_text(estimator: Any) -> bool:
    """Whether a model takes texts, which may stand on the command line themselves."""
    return estimator.task in ("tag", "generate", "translate", "fill") or (
        estimator.task in ("classify", "regress") and estimator.encoder_.kind == "text"
    )
