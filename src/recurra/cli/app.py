"""The command-line application: all commands, in the order of a first use."""

from __future__ import annotations

from typing import Annotated

import typer

from recurra import __version__
from recurra._util.language import LANGUAGES, use_language
from recurra.cells.from_module import import_from_here
from recurra.errors import UsageError

from .commands import (
    bench,
    demo,
    doctor,
    evaluate,
    export,
    fit,
    generate,
    health,
    inspect,
    lab,
    predict,
    sample,
    serve,
)
from .commands.models import compare, info, listing
from .commands.models.command import ModelCommand
from .commands.models.embed import embed
from .commands.models.pattern import pattern
from .support.command import App
from .support.suggest import SuggestingGroup
from .support.values.completion import completing

app = App(
    name="recurra",
    cls=SuggestingGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _use_language(name: str | None) -> str | None:
    if name is not None and name not in LANGUAGES:
        raise typer.BadParameter(f"the language is one of {', '.join(LANGUAGES)}, not {name!r:.80}")
    if name is not None:
        use_language(name)
    return name


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def recurra(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="Language of messages and help: en or ko; by default that of the environment.",
            metavar="NAME",
            is_eager=True,
            callback=_use_language,
            autocompletion=completing(*LANGUAGES),
        ),
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            help="Import a Python module that registers tasks or cells of your own. It is also searched for in the "
            "current folder. The option can be repeated.",
            metavar="MODULE",
        ),
    ] = None,
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
    for name in modules or ():
        try:
            import_from_here(name)
        except Exception as error:
            raise UsageError(f"--import {name} failed: {type(error).__name__}: {error}") from error


app.command()(demo.demo)
app.add_typer(fit.app, name="fit")
app.add_typer(fit.tune_app, name="tune")
app.command(cls=ModelCommand)(evaluate.evaluate)
app.command(cls=ModelCommand)(predict.predict)
app.command(cls=ModelCommand)(embed)
app.command(cls=ModelCommand)(pattern)
app.command(cls=ModelCommand)(inspect.inspect)
app.command(cls=ModelCommand)(health.health)
app.command()(info.info)
app.command("list")(listing.list_models)
app.command(cls=ModelCommand)(compare.compare)
app.command()(sample.sample)
app.command()(generate.generate)
app.command()(serve.serve)
app.command()(export.export)
app.command()(doctor.doctor)
app.command()(bench.bench)
app.add_typer(lab.app, name="lab")
