"""`classify` on the command line: a class for each sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say
from recurra.cli.support.options import with_options

from . import TIMES, many_to_one
from .many_to_one import SequenceFitOptions, Train, add, chunks, evaluate, inputs, predict, read, table_columns

__all__ = [
    "EVALUATE_OPTIONS",
    "OPTIONS",
    "add",
    "chunks",
    "evaluate",
    "fit",
    "inputs",
    "plot_evaluation",
    "predict",
    "read",
    "table_columns",
]


OPTIONS = ("input", "target", "id", "time", "features", "proba", "coverage", "plot", *TIMES)
"""See `recurra.cli.tasks`."""
EVALUATE_OPTIONS = ("by",)
"""See `recurra.cli.tasks`."""


@with_options(SequenceFitOptions)
def fit(
    train: Train,
    class_weight: Annotated[
        str | None,
        typer.Option(
            "--class-weight", help="balanced; by default all classes count by their number.", rich_help_panel="Training"
        ),
    ] = None,
    labels_separator: Annotated[
        str | None,
        typer.Option(
            "--labels-separator",
            help="Several labels in a cell: text between them, such as ';'. By default a cell is one class.",
            rich_help_panel="Data",
        ),
    ] = None,
    *,
    options: SequenceFitOptions,
) -> None:
    """Train a classifier: one class for each sequence, or several labels.

    [bold]Examples[/bold]

      recurra fit classify reviews.csv --input text --target label
      recurra fit classify gestures_TRAIN.ts --out my-model
      recurra fit classify log.csv --id trip --time second --features speed,brake --target driver
      recurra fit classify mails.csv --input text --target topics --labels-separator ";"

    Empty texts are empty sequences. Rows without a class are left out. With several columns in --target,
    such as joy,anger, each has 0 or 1 for a label.
    """
    params = {"class_weight": class_weight} if class_weight else {}
    many_to_one.fit("classify", train, options, params, labels_separator)


def plot_evaluation(metrics: dict[str, Any], path: Path) -> None:
    """See `recurra.cli.tasks`."""
    from recurra.tasks.many_to_one.metrics.plot import plot_classes

    note = plot_classes(metrics, path)
    if note:
        say(note)
