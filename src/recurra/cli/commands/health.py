"""`recurra health`: checks of a model's health, with an exit code for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recurra._util.language import translated
from recurra.cli.support.console import say
from recurra.cli.support.files import located
from recurra.cli.support.options import PredictOptions, with_options
from recurra.cli.support.values.completion import completing
from recurra.cli.tasks import module_of
from recurra.errors import UsageError

from .evaluate import AllowNonfinite, Model

if TYPE_CHECKING:
    from recurra.inspect import HealthCard

FAIL_ON = {"red": ("red",), "yellow": ("yellow", "red"), "never": ()}
"""Lights that make the command fail, by the value of --fail-on."""

_NOT_READ = (
    *("top", "proba", "coverage", "n_best", "bleu_tokens", "choices", "marks", "beam", "length_bonus"),
    *("timestamps", "horizon", "future", "plot"),
)
"""Options of predictions that do not change how labelled data are read."""


@with_options(PredictOptions, without=_NOT_READ)
def health(
    model: Model,
    data: Annotated[
        Path | None,
        typer.Argument(help="Labelled file. Without it, only weights and training are checked.", metavar="[DATA]"),
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            help="Exit with code 1 from this light on: yellow, red, or never.",
            autocompletion=completing(*FAIL_ON),
        ),
    ] = "red",
    allow_nonfinite: AllowNonfinite = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: PredictOptions,
) -> None:
    """Check a model for saturated gates, dead units, exploding or vanishing gradients and values that are not finite.

    [bold]Examples[/bold]

      recurra health my-model test.csv
      recurra health my-model test.csv --json --fail-on yellow
      recurra health my-model
    """
    from recurra import inspect
    from recurra.tasks import load

    if fail_on not in FAIL_ON:
        raise UsageError(f"--fail-on is one of {', '.join(FAIL_ON)}, not {fail_on!r}")
    estimator: Any = load(model, allow_nonfinite=allow_nonfinite)
    if data is None:
        card = inspect.health(estimator)
    else:
        labelled = module_of(estimator, options).read(estimator, data, options)
        with located(labelled.where):
            card = inspect.health(estimator, *labelled.arguments[:2])
    if json:
        typer.echo(card.to_json())
    else:
        _show(card, f"Health of {model}" + (f" on {data.name}" if data else ""))
    if card.worst in FAIL_ON[fail_on]:
        raise typer.Exit(1)


def _show(card: HealthCard, title: str) -> None:
    """Writes the table to standard output, and what could not be measured to standard error."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from recurra.inspect.health import MARKS

    table = Table(title=translated(title), title_justify="left", title_style="bold")
    for column in ("light", "measure", "value", "where"):
        table.add_column(translated(column, "table"), justify="right" if column == "value" else "left", overflow="fold")
    for light in card.lights:
        colour = Text(f"{MARKS[light.light]} {translated(light.light, 'table')}", style=light.light)
        table.add_row(colour, translated(light.name, "table"), translated(light.shown), Text(translated(light.where)))
    console = Console(highlight=False, markup=False)
    console.print(table)
    for light in card.lights:
        if light.advice:
            name, meaning = translated(light.name, "table"), translated(light.meaning)
            console.print(Text.assemble((f"{MARKS[light.light]} {name}", light.light), f": {meaning}"))
            console.print(f"  → {translated(light.advice)}")
    for words in card.missing:
        say(f"not measured: {words}")
