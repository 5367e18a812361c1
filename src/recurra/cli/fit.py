"""`recurra fit`: from a file to a trained model folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.errors import RecurraError

from .console import say
from .files import Columns, located, read_columns
from .options import Fitting, takes

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

Train = Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines or Parquet file, also gzipped.", metavar="TRAIN")]
Input = Annotated[str, typer.Option("--input", help="Column that holds the sequences.", rich_help_panel="Data")]
Target = Annotated[str, typer.Option("--target", help="Column to predict.", rich_help_panel="Data")]


@app.callback()
def fit() -> None:
    """Train a model on a file.

    [bold]Examples[/bold]

      recurra fit classify reviews.csv --input text --target label --out my-model
      recurra fit regress essays.parquet --input text --target score --out my-model
    """


@app.command()
@takes(Fitting)
def classify(
    train: Train,
    input: Input,
    target: Target,
    class_weight: Annotated[
        str | None, typer.Option("--class-weight", help="balanced", rich_help_panel="Training")
    ] = None,
    *,
    options: Fitting,
) -> None:
    """Train a classifier: one class for each sequence.

    [bold]Examples[/bold]

      recurra fit classify reviews.csv --input text --target label
      recurra fit classify reviews.tsv --input text --target label --valid dev.tsv --bidirectional --out my-model
      recurra fit classify reviews.tsv --input text --target label --out my-model --resume

    Empty texts count as empty sequences; rows without a label are left out.
    """
    fit_file("classify", train, input, target, options, {"class_weight": class_weight} if class_weight else {})


@app.command()
@takes(Fitting)
def regress(train: Train, input: Input, target: Target, *, options: Fitting) -> None:
    """Train a regressor: one number for each sequence.

    [bold]Examples[/bold]

      recurra fit regress essays.csv --input text --target score
      recurra fit regress sensors.parquet --input readings --target wear --cell gru --out my-model

    Rows without a number are left out.
    """
    fit_file("regress", train, input, target, options, {})


def fit_file(
    task: str, train: Path, input: str, target: str, options: Fitting, extra: dict[str, Any]
) -> tuple[Any, Columns]:
    """Trains on a file and saves the model; returns both the estimator and what it was trained on.

    The unfinished run lives in a folder beside the model folder, which is removed when the model is saved.

    Raises:
        typer.Exit: with code 130 after Ctrl-C.
    """
    from recurra.io import check_target
    from recurra.tasks import ESTIMATORS

    check_target(options.out)
    run = options.out.with_name(options.out.name + ".training")
    estimator = ESTIMATORS[task](**options.params(), **extra)
    _prepare(run, options.resume)
    try:
        data = read_columns(train, input, target, options, task=task, cache=run)
        valid = None
        if options.valid is not None:
            valid = read_columns(options.valid, input, target, options, task=task, cache=run)
        with located(data.file):
            estimator.fit(
                data.inputs,
                data.targets,
                validation_data=valid and (valid.inputs, valid.targets),
                checkpoint=run,
                checkpoint_minutes=options.checkpoint_minutes,
                resume=options.resume,
            )
    except RecurraError:
        if not (run / "last.ckpt").exists():
            shutil.rmtree(run, ignore_errors=True)
        raise
    estimator.data_ |= {"training file": train.name, "input column": input, "target column": target}
    _finish(estimator, options.out, run)
    return estimator, data


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
    figures = estimator.metrics_["valid"] or {"training loss": estimator.metrics_["loss"]}
    words = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    say(f"best epoch {estimator.best_epoch_} of {estimator.n_iter_}: {words}")
    say(f"model saved to {out}")
