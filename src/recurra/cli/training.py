"""What every `recurra fit` command does: a run that can resume, and the model folder at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from recurra.errors import RecurraError, UsageError

from .console import say
from .files import Labelled, located
from .options import Fitting

Read = Callable[[Path, Path | None], Labelled]
"""Reads a file of training or validation data; the second argument is a folder for large tables."""


def train(task: str, train: Path, options: Fitting, read: Read, params: dict[str, Any] | None = None) -> Any:
    """Trains on a file, saves the model and returns the estimator.

    The unfinished run lives in a folder beside the model folder, which is removed when the model is saved.

    Args:
        task: name of the shape.
        train: file of training data.
        options: those that all shapes share.
        read: brings a file into the arguments of the estimator's `fit`.
        params: arguments of the estimator beside those in `options`.

    Raises:
        typer.Exit: with code 130 after Ctrl-C.
    """
    from recurra.io import check_target
    from recurra.tasks import ESTIMATORS

    check_target(options.out)
    run = options.out.with_name(options.out.name + ".training")
    params = {**options.params(), **(params or {})}
    for name in params.keys() - ESTIMATORS[task]().get_params().keys():
        raise UsageError(f"--{name.replace('_', '-')} is not for {task}")
    estimator: Any = ESTIMATORS[task](**params)
    _prepare(run, options.resume)
    try:
        data = read(train, run)
        valid = None if options.valid is None else read(options.valid, run)
        with located(data.where):
            estimator.fit(
                *data.arguments,
                validation_data=valid and valid.arguments,
                checkpoint=run,
                checkpoint_minutes=options.checkpoint_minutes,
                resume=options.resume,
            )
    except RecurraError:
        if not (run / "last.ckpt").exists():
            shutil.rmtree(run, ignore_errors=True)
        raise
    estimator.data_ |= {"training file": train.name, **data.names}
    _finish(estimator, options.out, run)
    return estimator


def _prepare(run: Path, resume: bool) -> None:
    if resume and not (run / "last.ckpt").exists():
        say(f"there is no unfinished run in {run}; training starts from the beginning")
    if not resume and (run / "last.ckpt").exists():
        say(f"the unfinished run in {run} is given up; --resume would have gone on with it")
    if not resume:
        shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True, exist_ok=True)


def _finish(estimator: Any, out: Path, run: Path) -> None:
    if estimator.interrupted_:
        if estimator.best_epoch_:
            estimator.save(out)
            say(f"interrupted; the model of the best epoch so far ({estimator.best_epoch_}) is in {out}")
        else:
            say("interrupted before the end of the first epoch; there is no model yet")
        say("the same command with --resume goes on")
        raise typer.Exit(130)
    estimator.save(out)
    shutil.rmtree(run, ignore_errors=True)
    from recurra.data.wording import readable

    figures = estimator.metrics_["valid"] or {"training loss": estimator.metrics_["loss"]}
    words = ", ".join(f"{name} {readable(value)}" for name, value in figures.items())
    say(f"best epoch {estimator.best_epoch_} of {estimator.n_iter_}: {words}")
    say(f"model saved to {out}")
