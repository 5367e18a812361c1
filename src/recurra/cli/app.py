"""The command-line application: all commands, in the order of a first use."""

from __future__ import annotations

from typing import Annotated

import typer

from recurra import __version__

from .commands import bench, demo, doctor, evaluate, fit, generate, health, inspect, lab, predict, sample
from .support.command import App
from .support.suggest import SuggestingGroup

app = App(
    name="recurra",
    cls=SuggestingGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def recurra(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Train recurrent networks on your sequences, and inspect them.

    [bold]Examples[/bold]

      recurra demo
      recurra fit classify reviews.csv --input text --target label --out my-model
      recurra evaluate my-model test.csv
      echo "a fine film" | recurra predict my-model -
      recurra inspect my-model "a fine film"
      recurra generate my-language-model --prompt "Once"
    """


app.command()(demo.demo)
app.add_typer(fit.app, name="fit")
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(inspect.inspect)
app.command()(health.health)
app.command()(sample.sample)
app.command()(generate.generate)
app.command()(doctor.doctor)
app.command()(bench.bench)
app.add_typer(lab.app, name="lab")
