"""`recurra evaluate`: figures of a model on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import show_json, show_table
from .files import column_names, located, read_columns
from .options import Reading, takes

Model = Annotated[Path, typer.Argument(help="Model folder.", metavar="MODEL")]


@takes(Reading)
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="Labelled file.", metavar="DATA")],
    input: Annotated[str | None, typer.Option("--input", help="Column of sequences; as in training.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column of targets; as in training.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: Reading,
) -> None:
    """Measure a model on labelled data.

    [bold]Examples[/bold]

      recurra evaluate my-model test.csv
      recurra evaluate my-model test.csv --json
    """
    from recurra.tasks import load

    estimator = load(model)
    names = column_names(estimator, input, target)
    columns = read_columns(data, *names, options, task=estimator.task)
    with located(columns.file):
        figures = estimator.evaluate(columns.inputs, columns.targets)
    if json:
        show_json(figures)
    else:
        show_table(f"{model} on {data.name}", ["figure", "value"], figure_rows(figures))


def figure_rows(figures: dict[str, float]) -> list[list[str]]:
    """Rows of a table of figures."""
    return [[name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}"] for name, value in figures.items()]
