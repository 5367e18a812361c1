"""`recurra compare`: metrics of two models on the same data, and a test of the difference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recurra.cli.commands.evaluate import NOT_SHOWN
from recurra.cli.support.console import say, show_json, show_table
from recurra.cli.support.files import located
from recurra.cli.support.options import PredictOptions, with_options
from recurra.cli.tasks import module_of
from recurra.errors import DataError, UsageError

if TYPE_CHECKING:
    from recurra.tasks.comparing import ComparedModel, Paired

_NOT_OF_DATA = ("proba", "coverage", "top", "n_best", "choices", "marks", "timestamps", "plot", "horizon", "future")
UNCERTAIN = 0.05
"""Smallest p-value of a difference that counts as chance."""


@with_options(PredictOptions, without=_NOT_OF_DATA)
def compare(
    model: Annotated[Path, typer.Argument(help="Model folder.", metavar="MODEL")],
    other: Annotated[Path, typer.Argument(help="Folder of another model of the same task.", metavar="MODEL")],
    data: Annotated[Path, typer.Argument(help="Labelled file.", metavar="DATA")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: PredictOptions,
) -> None:
    """Compare two models on labelled data, and test whether the difference is more than chance.

    [bold]Examples[/bold]

      recurra compare my-model other-model test.csv
      recurra compare my-model other-model test.csv --json

    Each model reads the columns that it was trained on. The order of the models does not matter to the test.
    """
    from recurra.tasks import load
    from recurra.tasks.comparing import measure

    estimators: list[Any] = [load(model), load(other)]
    first, second = (estimator.task for estimator in estimators)
    if first != second:
        raise UsageError(f"{model} is a model for {first}, and {other} for {second}: their metrics differ")
    found = []
    for estimator in estimators:
        labelled = module_of(estimator, options).read(estimator, data, options)
        with located(labelled.where):
            found.append(measure(estimator, labelled.arguments))
    paired, sentence = _judge((str(model), str(other)), found)
    if json:
        metrics = {str(path): one.metrics for path, one in zip((model, other), found, strict=True)}
        test = None if paired is None else paired._asdict()
        show_json({"models": [str(model), str(other)], "metrics": metrics, "paired": test, "sentence": sentence})
        return
    show_table(f"{model} and {other} on {data.name}", ["metric", str(model), str(other), "difference"], _rows(found))
    say(sentence)


def _judge(names: tuple[str, str], found: list[ComparedModel]) -> tuple[Paired | None, str]:
    """Returns the test of the difference, if there is one, and a sentence on it."""
    from recurra._util.messages import readable
    from recurra.tasks.comparing import paired_test

    (one, other), metric = found, found[0].metric
    if one.items is None or other.items is None:
        return None, f"There is no test of the difference: {metric} is not a mean over independent items here."
    if len(one.items) != len(other.items):
        raise DataError(f"the models read {len(one.items):,} and {len(other.items):,} items of the data")
    paired = paired_test(one.items, other.items)
    if paired is None:
        return None, f"There is no test of the difference: {len(one.items)} items are too few."
    better = (paired.difference > 0) == one.greater
    words = f"{metric} {readable(one.metrics[metric])} against {readable(other.metrics[metric])}"
    test = (
        f"difference {readable(paired.difference, signed=True)}, 95 % interval {readable(paired.low, signed=True)} to "
        f"{readable(paired.high, signed=True)}, p = {paired.p:.2g}, {paired.test} on {paired.n:,} items"
    )
    if paired.p >= UNCERTAIN:
        return paired, f"The difference of the models is within chance: {words} ({test})."
    return paired, f"{names[0 if better else 1]} is better: {words} ({test})."


def _rows(found: list[ComparedModel]) -> list[list[str]]:
    """Returns a row for each number that both models have."""
    from recurra._util.messages import readable

    one, other = (measured.metrics for measured in found)
    rows = []
    for name, value in one.items():
        numbers: list[Any] = [value, other.get(name)]
        if name not in NOT_SHOWN and all(isinstance(number, int | float) for number in numbers):
            cells = [f"{number:,}" if isinstance(number, int) else readable(number) for number in numbers]
            rows.append([name, *cells, readable(numbers[0] - numbers[1], signed=True)])
    return rows
