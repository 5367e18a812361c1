"""The steps of every `recurra fit` command: a run that can be resumed, and the model folder at its end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from recurra._util.atomic import locked, remove, tidy, unwritable
from recurra.cli.support.console import on_terminal, say, say_best
from recurra.cli.support.files import Labelled, located
from recurra.cli.support.options import FitOptions
from recurra.cli.support.tuning import TuneOptions, tune
from recurra.errors import ModelFolderError, UsageError

from . import task_module

Read = Callable[[Path, Path | None], Labelled]
"""Reads a file of training or validation data; the second argument is a folder for large tables."""

CHECKPOINT, PIECES, LOGS, START = "last.ckpt", "pieces", "logs", "start"
"""Content of the folder of a run that a resumed run uses."""


def train(task: str, train: Path, options: FitOptions, read: Read, params: dict[str, Any] | None = None) -> Any:
    """Trains on a file, saves the model and returns the estimator.

    Args:
        task: name of the task.
        train: file of training data.
        options: those of the command.
        read: reads a file into the arguments of the estimator's `fit`.
        params: arguments of the estimator that are not in `options`.

    Raises:
        UsageError: the model folder contains finished work and the options do not say what to do with it, or another
            process is training into it.
        typer.Exit: with code 130 after Ctrl-C; with code 0 if the run to resume is finished.
    """
    from recurra.io import Provenance
    from recurra.tasks.registry import find
    from recurra.training.logs.arguments import loggers_of

    params = {**options.params(), **(params or {})}
    kind = find(task).load()
    for name in params.keys() - kind().get_params().keys():
        raise UsageError(f"--{name.replace('_', '-')} is not for {task}")
    estimator: Any = kind(**params)
    loggers_of(estimator.logger)  # before the data are read
    if isinstance(options, TuneOptions):
        return tune(estimator, train, options, read)
    workers = options.processes()
    with _run_folder(options) as run:
        data = read(train, run)
        valid = None if options.valid is None else read(options.valid, run)
        with located(data.where):
            estimator.fit(
                *data.arguments,
                validation_data=valid and valid.arguments,
                checkpoint=run,
                checkpoint_minutes=options.checkpoint_minutes,
                resume=options.resume,
                **({} if workers is None else {"workers": workers}),
            )
        started_from = estimator.provenance_.started_from
        estimator.provenance_ = Provenance(training_file=train.name, started_from=started_from, **data.names)
        _finish(estimator, options.out, run)
    return estimator


@contextmanager
def _run_folder(options: FitOptions) -> Iterator[Path]:
    """Yields the folder OUT.training, which contains the state of the run and exists until the run is finished.

    Its lock excludes a second run with the same OUT. If OUT is a link, the folder is next to its target.
    """
    from recurra.io import check_target

    out = Path(os.path.realpath(options.out))
    tidy(out.parent)
    check_target(options.out)
    run = out.with_name(out.name + ".training")
    try:
        started = run.exists()
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(ModelFolderError, f"the folder {run} cannot be created", error) from None
    with locked(run, f"another process is training into {options.out}; wait for it or choose another --out"):
        try:
            _decide(out, run, started, options)
            yield run
        except BaseException as error:
            if (run / CHECKPOINT).exists():
                if isinstance(error, ModelFolderError):  # such as a full disk
                    error.args = (f"{error}\nthe same command with --resume continues the run",)
                if isinstance(error, KeyboardInterrupt):
                    say("interrupted; the same command with --resume continues the run")
            elif _is_run(run):
                remove(run)
            raise


def _decide(out: Path, run: Path, started: bool, options: FitOptions) -> None:
    """Refuses to replace finished work, and prepares the folder of the run.

    Args:
        out: the model folder, which may exist.
        run: folder of the run, locked.
        started: whether it existed before.
        options: those of the command.
    """
    from recurra.io import is_model

    if not _is_run(run):
        raise ModelFolderError(f"{run} contains files that are not of a run of Recurra; choose another --out")
    checkpoint, finished = (run / CHECKPOINT).exists(), is_model(out)
    if options.resume and not checkpoint:
        if finished and not started:
            say(f"the run is finished: the model is in {options.out}; --overwrite instead of --resume trains it again")
            raise typer.Exit
        prepared = ", with the pieces that are encoded there" if (run / PIECES).exists() else ""
        say(f"there is no unfinished run in {run}; training starts from the beginning{prepared}")
    if checkpoint and not (options.resume or options.overwrite):
        raise UsageError(
            f"{run} contains an unfinished run\nadd --resume to continue it, --overwrite to start from the beginning"
        )
    if finished and not checkpoint and not options.overwrite:
        raise UsageError(
            f"{options.out} contains a finished model\nchoose another --out, or add --overwrite to replace the model"
        )
    if not options.resume:
        (run / CHECKPOINT).unlink(missing_ok=True)
        for name in (LOGS, START):
            shutil.rmtree(run / name, ignore_errors=True)
    for entry in run.iterdir():  # the prepared data, which this run writes again; pieces are reused if they fit
        if entry.name not in (CHECKPOINT, PIECES, LOGS, START):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _is_run(run: Path) -> bool:
    """Returns whether a folder contains only the files of a run."""
    return all(
        entry.name in (CHECKPOINT, PIECES, LOGS, START) or entry.suffix in (".arrow", ".partial", ".tsv")
        for entry in run.iterdir()
    )


def _finish(estimator: Any, out: Path, run: Path) -> None:
    from recurra.tasks.base import FOLDS

    if estimator.interrupted_:
        if estimator.best_epoch_:
            estimator.save(out)
            say(f"interrupted; the model of the best epoch so far ({estimator.best_epoch_}) is in {out}")
        else:
            say("interrupted before the end of the first epoch; there is no model yet")
        say("the same command with --resume continues")
        raise typer.Exit(130)
    estimator.save(out)
    remove(run)
    metrics = estimator.metrics_
    shown = metrics["valid"] or {"training loss": metrics["loss"]}
    if not on_terminal():  # the progress line of a terminal has shown it
        say(f"best epoch {estimator.best_epoch_} of {estimator.n_iter_}: {_in_words(shown)}")
    own_table = hasattr(task_module(estimator.task), "show")
    notes = {baseline.name: f" ({baseline.note})" for baseline in estimator.baselines_ if baseline.note}
    for name, values in ({} if own_table else metrics.get("baselines", {})).items():
        words = _in_words({key: value for key, value in values.items() if key in shown})
        say(f"{name}{notes.get(name, '')}: {words}")
    say_best(metrics)
    for name, values in metrics.get("cross_validation", {}).items():
        say(f"{name}, {FOLDS}-fold cross-validation of the training data: {_in_words(values)}")
    say(f"model saved to {out}")


def _in_words(metrics: dict[str, float]) -> str:
    from recurra._util.messages import readable

    return ", ".join(f"{name} {readable(value)}" for name, value in metrics.items())
