"""The commands of each task: one module for each, with the name of the task or the one that its `Task` names.

Each module has

- `fit`: the command `recurra fit TASK`;
- `OPTIONS`: fields of `PredictOptions` that fit models of the task, beside those of `FileOptions`;
- `EVALUATE_OPTIONS`, if there are any: further fields of `EvaluateOptions` that fit;
- `read(estimator, path, options)`: reads a labelled file as `Labelled`, for `recurra evaluate`;
- `evaluate(estimator, path, options)`, if there is one: metrics on a labelled file of any size, as the estimator's
  `evaluate` returns them; None to use `read`;
- `plot_evaluation(metrics, path)`, if `recurra evaluate` can draw the metrics;
- `inputs(estimator, source, options)`: an iterator of tuples, the first arguments of the estimator's `subject` for some
  sequences at a time. `source` is a file name, `-` for standard input or, for models of texts, a list of texts;
- `predict(estimator, source, options)`: an iterator of dictionaries, one for each row that `recurra predict` writes;
  `source` as in `inputs`. The rows are those of `estimator.service()`;
- `chunks(estimator, source, options)`, if sequences may have ids: an iterator of pairs, some sequences and their ids or
  None;
- `table_columns(estimator, path, options)`, if predictions can be divided among processes: the columns that `predict`
  reads if the data are a table whose rows are independent; None if the data can only be divided into files;
- `add(running, estimator, path, options)`, if there is `table_columns` and the estimator has `running_evaluation`:
  adds the rows of a table to an evaluation.
"""

from __future__ import annotations

import dataclasses
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from recurra.cli.support.options import FileOptions, WorkerOptions
from recurra.errors import DataError, UsageError
from recurra.tasks.registry import find

TIMES = ("time_format", "day_first", "month_first")
"""Options of tasks whose tables have a column of times."""


_OF_PROCESSES = (*(field.name for field in dataclasses.fields(WorkerOptions)), "config", "reader")
"""Options that say nothing about the data and the model."""


def task_module(task: str) -> ModuleType:
    """Returns the module of a task.

    Raises:
        UsageError: there is no task with this name, or its module cannot be imported.
    """
    found = find(task)
    try:
        return import_module(found.commands or f".{task}", __name__)
    except ImportError as error:
        raise UsageError(f"the commands of the task {task!r} cannot be imported: {error}") from error


def module_of(estimator: Any, options: Any) -> ModuleType:
    """Returns the module of a model's task.

    Args:
        estimator: the model.
        options: a `recurra.cli.support.options.PredictOptions`.

    Raises:
        UsageError: an option was given that does not fit the model.
    """
    module = task_module(estimator.task)
    fitting = fitting_options(module)
    for field in dataclasses.fields(options):
        if field.name not in fitting and getattr(options, field.name) != field.default:
            others = ", ".join(
                _option(name) for name in fitting if hasattr(options, name) and name not in _OF_PROCESSES
            )
            raise UsageError(
                f"{_option(field.name)} does not fit this model, which is a {estimator.title.lower()}; "
                f"options that fit: {others}"
            )
    return module


def fitting_options(module: ModuleType) -> tuple[str, ...]:
    """Returns the fields of `EvaluateOptions` and `PredictOptions` that fit the models of a task's module."""
    of_files = (field.name for field in dataclasses.fields(FileOptions))
    return (*module.OPTIONS, *getattr(module, "EVALUATE_OPTIONS", ()), *of_files, *_OF_PROCESSES)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


FILES = (
    *(".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".ipc", ".ts", ".npz", ".txt"),
    *(
        ".conllu",
        ".conll",
        ".bio",
        ".iob",
        ".gz",
        ".bz2",
        ".xz",
        ".zst",
        ".xlsx",
        ".xls",
        ".ods",
        ".hwp",
        ".hwpx",
        ".pdf",
        ".zip",
    ),
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au"),
)
"""An argument with one of these suffixes and without spaces is a file name, even if there is no file with this name."""


def source_of(estimator: Any, given: str) -> str | list[str]:
    """Returns the source that an argument TEXT|DATA|- names.

    Args:
        estimator: the model.
        given: the argument.

    Returns:
        `-` for standard input, the name of a file or folder that exists, a pattern that matches files, a URL of data,
        or a list with one text, where the model takes texts.

    Raises:
        DataError: the argument is neither a file nor a text that the model takes.
    """
    from recurra.data.files.access import is_file, is_folder, refuse_no_file
    from recurra.data.files.places import is_pattern
    from recurra.data.readers.typed.workbook import split_sheet

    file = str(split_sheet(Path(given))[0])
    if given == "-" or (given and (is_file(file) or is_folder(given) or is_pattern(given) or _is_url(given))):
        return given
    named = file.lower().endswith(FILES) or given.startswith(("/", "./", "../", "~"))
    if not estimator.accepts_text or (named and not any(map(str.isspace, given))):
        try:
            refuse_no_file(Path(given))
        except DataError as error:
            if named:
                raise
            raise DataError(f"{error}\nThis model takes files of numbers or recordings, not texts.") from None
    return [os.fsencode(given).decode("utf-8", "replace")]


def _is_url(given: str) -> bool:
    """Returns whether an argument is a URL of data. A web address may also be a text, unless it is that of a table."""
    from recurra.data.files.remote import url_of

    if url_of(given) is None or any(map(str.isspace, given)):
        return False
    return not given.lower().startswith("http") or given.lower().endswith(FILES)


def one(estimator: Any, source: str | list[str], options: Any, row: int = 1) -> tuple[Any, ...]:
    """Returns one sequence of a source, for the inspection tools.

    Args:
        estimator: the model.
        source: as `source_of` gives it.
        options: as of `recurra predict`, a `recurra.cli.support.options.PredictOptions`.
        row: which sequence, counted from 1 as `recurra predict` numbers its answers; of a forecaster, which series.

    Returns:
        The first arguments of `estimator.subject`: the sequence in a list (or in the container for sequences of
        its kind), and for a language model with labels the labels.

    Raises:
        DataError: the source cannot be read.
        UsageError: the source has no row of this number.
    """
    before = 0
    for columns in module_of(estimator, options).inputs(estimator, source, options):
        count = len(columns[0])
        if before < row <= before + count:
            at = slice(row - before - 1, row - before)
            return tuple(column if column is None else column[at] for column in columns)
        before += count
    where = source if isinstance(source, str) else "the text"
    raise UsageError(f"there is no row {row} in {where}: rows are counted from 1 to {before:,}")
