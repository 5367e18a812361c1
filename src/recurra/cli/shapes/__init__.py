"""What the command line does differently for each shape of sequence: one module for each, named as its task.

Each module has

- `fit`: the command `recurra fit TASK`;
- `read(estimator, path, options)`: a labelled file as `Labelled`, for `recurra evaluate`;
- `inputs(estimator, source, options)`: an iterator of tuples, the first arguments of the estimator's `subject` for some
  sequences at a time; `source` is a file name, `-` for standard input or, where sequences are texts, a list of them;
- `predict(estimator, source, options)`: an iterator of dictionaries, one for each row of the answer, for
  `recurra predict`; `source` is a file name, or `-`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from recurra.errors import UsageError

SHAPES = ("classify", "regress", "tag", "forecast", "generate", "translate", "fill", "transcribe")
"""In the order of `recurra fit --help`."""


def shape_of(task: str) -> ModuleType:
    """The module of a task."""
    return import_module(f".{task}", __name__)


FILES = (
    *(".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".ts", ".npz", ".txt", ".conllu", ".conll"),
    *(".bio", ".iob", ".gz", ".bz2", ".xz", ".xlsx", ".xls", ".ods", ".hwp", ".hwpx", ".pdf", ".zip"),
)
"""What ends in one of these, and has no space in it, is a file even where there is none."""


def one(estimator: Any, source: str, options: Any, row: int = 1) -> tuple[Any, ...]:
    """One sequence of a source, for the tools that look inside.

    Args:
        estimator: the model.
        source: a text, where the model takes texts; or a file name, or `-` for standard input.
        options: as of `recurra predict`, a `recurra.cli.options.Asking`.
        row: which sequence, counted from 1 as `recurra predict` numbers its answers; of a forecaster, which series.

    Returns:
        The first arguments of `estimator.subject`: the sequence by itself in a list (or whatever holds sequences of
        its kind), and for a language model with labels the labels.

    Raises:
        DataError: the source cannot be read.
        UsageError: there is no such row.
    """
    text = reads_text(estimator) and not _is_file(source)
    before = 0
    for columns in shape_of(estimator.task).inputs(estimator, [source] if text else source, options):
        count = len(columns[0])
        if before < row <= before + count:
            at = slice(row - before - 1, row - before)
            return tuple(column if column is None else column[at] for column in columns)
        before += count
    raise UsageError(f"there is no row {row} in {source}: rows are counted from 1 to {before:,}")


def reads_text(estimator: Any) -> bool:
    """Whether a model takes texts, which may stand on the command line themselves."""
    return estimator.task in ("tag", "generate", "translate", "fill") or (
        estimator.task in ("classify", "regress") and estimator.encoder_.kind == "text"
    )


def _is_file(source: str) -> bool:
    if source == "-" or (source.lower().endswith(FILES) and not any(map(str.isspace, source))):
        return True
    try:
        return Path(source).is_file()
    except OSError:  # too long for a name
        return False
