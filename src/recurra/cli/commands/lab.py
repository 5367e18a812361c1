"""`recurra lab`: experiments that anyone can rerun, each with a table and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cells.from_module import cell_name
from recurra.cli.support.command import App
from recurra.cli.support.console import progress_bar, say, show_json, show_table
from recurra.cli.support.files import listed
from recurra.cli.support.options import CELLS, FileOptions, parse_list
from recurra.cli.support.suggest import SuggestingGroup
from recurra.cli.tasks.fill import read_texts
from recurra.cli.tasks.many_to_one import read_labelled
from recurra.cli.tasks.sources import Columns
from recurra.errors import DataError, UsageError
from recurra.tasks.params import EPOCHS_LIMIT, MAX_SEED, MAX_SIZE

app = App(cls=SuggestingGroup, no_args_is_help=True, rich_markup_mode="rich")
PICTURES = (".png", ".svg", ".pdf")

Out = Annotated[Path | None, typer.Option("--out", help="Picture to write (.png, .svg, .pdf); by default NAME.png.")]
Quick = Annotated[bool, typer.Option("--quick", help="A small version, in seconds, to try it out.")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same result.", min=0, max=MAX_SEED)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", help="Passes over the data; chosen from their size by default.", min=1, max=EPOCHS_LIMIT),
]
Units = Annotated[int | None, typer.Option("--hidden-size", help="Units per layer and direction.", min=1, max=MAX_SIZE)]
OneCell = Annotated[str | None, typer.Option("--cell", help=f"{CELLS}; or MODULE:CLASS for one of your own.")]
Cells = Annotated[
    str | None,
    typer.Option("--cells", "--cell", help=f"Of {CELLS}; or MODULE:CLASS for one of your own; commas between."),
]
Test = Annotated[Path | None, typer.Option("--test", help="File to test on; by default a part of --data.")]


@app.callback()
def lab() -> None:
    """Run an experiment: a table, a figure, and JSON for machines.

    [bold]Examples[/bold]

      recurra lab vanishing
      recurra lab order --data reviews.csv --input text --target label
      recurra lab capacity --out capacity.svg
      recurra lab bidirectional --quick --json
    """


@app.command()
def vanishing(
    problem: Annotated[str | None, typer.Option("--problem", help="adding (the default), copy, order or all.")] = None,
    lags: Annotated[str | None, typer.Option("--lags", help="Steps, with commas between, such as 10,100.")] = None,
    cells: Cells = None,
    parameters: Annotated[int | None, typer.Option("--parameters", help="Of each network, about.", min=1)] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="long: every cell begins as it remembers best; torch: as torch does.")
    ] = None,
    learning_rates: Annotated[
        str | None, typer.Option("--learning-rates", help="Tried in turn until one solves it; commas between.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="At most, with each learning rate.", min=1)] = None,
    out: Out = None,
    quick: Quick = False,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Why a plain RNN forgets: what the cells learn across longer and longer lags, and how far gradients reach.

    [bold]Examples[/bold]

      recurra lab vanishing
      recurra lab vanishing --problem copy --lags 10,50 --out copy.svg
      recurra lab vanishing --start torch --json

    The adding problem takes about 5 minutes of two cores. A cell that solves nothing takes all its steps with every
    learning rate: for copying, or all problems, give fewer --lags or --steps.
    """
    given = {
        "problem": problem,
        "lags": _numbers("--lags", lags, int),
        "cells": _cells(cells),
        "parameters": parameters,
        "start": start,
        "learning_rates": _numbers("--learning-rates", learning_rates, float),
        "steps": steps,
    }
    _run("vanishing", given, out, quick, seed, json)


@app.command()
def order(
    data: Annotated[Path | None, typer.Option("--data", help="Labelled file; by default embedded samples.")] = None,
    test: Test = None,
    input: Annotated[str | None, typer.Option("--input", help="Column of sequences, one a row.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column of classes.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Long tables: column of ids.")] = None,
    time: Annotated[str | None, typer.Option("--time", help="Long tables: column to sort an id's rows by.")] = None,
    features: Annotated[str | None, typer.Option("--features", help="Long tables: columns, commas between.")] = None,
    cell: OneCell = None,
    tokens: Annotated[str | None, typer.Option("--tokens", help="What the steps of texts are: word or char.")] = None,
    hidden_size: Units = None,
    epochs: Epochs = None,
    out: Out = None,
    quick: Quick = False,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Measure how much the order of the steps matters: with and without memory, in order and shuffled.

    [bold]Examples[/bold]

      recurra lab order
      recurra lab order --data gestures_TRAIN.ts --test gestures_TEST.ts
      recurra lab order --data reviews.csv --input text --target label --cell gru
    """
    cell = None if cell is None else cell_name("--cell", cell)
    given: dict[str, Any] = {"cell": cell, "tokens": tokens, "hidden_size": hidden_size, "epochs": epochs}
    _needs_data(data, test=test, input=input, target=target, id=id, time=time, features=features)
    if data is not None:
        columns = Columns(input, listed(target), id, time, listed(features))
        given["X"], given["y"] = read_labelled("classify", data, columns, FileOptions()).arguments
        if test is not None:
            given["test"] = read_labelled("classify", test, columns, FileOptions()).arguments
    _run("order", given, out, quick, seed, json)


@app.command()
def capacity(
    data: Annotated[Path | None, typer.Option("--data", help="Plain text; by default Shakespeare.")] = None,
    test: Test = None,
    budgets: Annotated[
        str | None, typer.Option("--parameters", help="Numbers of parameters, such as 20000,80000.")
    ] = None,
    cells: Cells = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the text.", min=1, max=EPOCHS_LIMIT)
    ] = None,
    learning_rates: Annotated[
        str | None, typer.Option("--learning-rates", help="Of which the best counts; commas between.")
    ] = None,
    out: Out = None,
    quick: Quick = False,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Compare loss and speed of the cells with equal numbers of parameters, as language models.

    [bold]Examples[/bold]

      recurra lab capacity
      recurra lab capacity --data novel.txt --parameters 50000,500000 --epochs 5
    """
    from recurra.data.readers.text_lines import read_text

    given: dict[str, Any] = {
        "budgets": _numbers("--parameters", budgets, int),
        "cells": _cells(cells),
        "epochs": epochs,
        "learning_rates": _numbers("--learning-rates", learning_rates, float),
    }
    _needs_data(data, test=test)
    for name, path in (("text", data), ("test", test)):
        if path is not None:
            given[name], summary = read_text(path)
            say(summary)
    _run("capacity", given, out, quick, seed, json)


@app.command()
def bidirectional(
    data: Annotated[
        Path | None, typer.Option("--data", help="Texts, one per line or in a table; by default a sample.")
    ] = None,
    test: Test = None,
    input: Annotated[str | None, typer.Option("--input", help="Column of a table that holds the texts.")] = None,
    cell: OneCell = None,
    tokens: Annotated[str | None, typer.Option("--tokens", help="word, bpe or char.")] = None,
    hidden_size: Units = None,
    epochs: Epochs = None,
    out: Out = None,
    quick: Quick = False,
    seed: Seed = None,
    json: Json = False,
) -> None:
    """Compare filling blanks from both sides, from one side, and from one side with as many parameters.

    [bold]Examples[/bold]

      recurra lab bidirectional
      recurra lab bidirectional --data reviews.csv --input text --out both.svg
    """
    cell = None if cell is None else cell_name("--cell", cell)
    given: dict[str, Any] = {"cell": cell, "tokens": tokens, "hidden_size": hidden_size, "epochs": epochs}
    _needs_data(data, test=test, input=input)
    for name, path in (("texts", data), ("test", test)):
        if path is not None:
            (given[name],) = read_texts(path, input, FileOptions()).arguments
    _run("bidirectional", given, out, quick, seed, json)


def _run(name: str, given: dict[str, Any], out: Path | None, quick: bool, seed: int | None, json: bool) -> None:
    """Runs an experiment with the arguments that were given, draws its figure and shows what it found."""
    out = out or Path(f"{name}.png")
    _check_picture(out)
    from recurra import lab as experiments

    arguments = {key: value for key, value in given.items() if value is not None}
    if quick:
        arguments = experiments.QUICK[name] | arguments
    if seed is not None:
        arguments["random_state"] = seed
    with progress_bar() as tell:
        result = getattr(experiments, name)(**arguments, progress=tell)
    if json:
        show_json(result.as_dict())
    else:
        show_table(result.title, list(result.columns.values()), result.cells())
    for note in result.notes:
        say(note)
    result.plot(out)
    say(f"written: {out}")


def _check_picture(out: Path) -> None:
    """Refuses, before minutes of work, what cannot be written after them."""
    if out.suffix.lower() not in PICTURES:
        raise UsageError(f"{out} should end in {', '.join(PICTURES)}")
    if not out.parent.is_dir():
        raise DataError(f"{out} cannot be written: there is no folder {out.parent}")


def _needs_data(data: Path | None, **options: Any) -> None:
    for name, value in options.items():
        if data is None and value is not None:
            raise UsageError(f"--{name} goes with --data")


def _cells(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(cell_name("--cells", each) for each in listed(text))


def _numbers(option: str, text: str | None, kind: type[int] | type[float]) -> tuple[Any, ...] | None:
    """Positive numbers, or None where none are given."""
    if text is None:
        return None
    found = parse_list(option, text, kind)
    if any(number <= 0 for number in found):
        raise UsageError(f"{option} takes numbers above 0, not {text!r:.80}")
    return found
