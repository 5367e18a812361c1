"""`recurra evaluate`: figures of a model on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .console import say, show_json, show_table
from .files import located
from .options import Asking, takes
from .shapes import shape_of

Model = Annotated[Path, typer.Argument(help="Model folder.", metavar="MODEL")]
AllowNonfinite = Annotated[
    bool, typer.Option("--allow-nonfinite", help="Look inside a model whose weights are NaN or infinite.")
]


@takes(Asking)
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="Labelled file.", metavar="DATA")],
    order_test: Annotated[
        bool, typer.Option("--order-test", help="Also measure with the steps of each sequence shuffled.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: Asking,
) -> None:
    """Measure a model on labelled data.

    [bold]Examples[/bold]

      recurra evaluate my-model test.csv
      recurra evaluate my-model test.csv --json
      recurra evaluate my-model test.csv --order-test
    """
    from recurra.tasks import load

    estimator: Any = load(model)
    shape = shape_of(estimator.task)
    labelled = shape.read(estimator, data, options)
    with located(labelled.where):
        figures = estimator.evaluate(*labelled.arguments)
        order = estimator.order_test(*labelled.arguments) if order_test else None
    if json:
        show_json(figures if order is None else {**figures, "order_test": order})
        return
    title = f"{model} on {data.name}"
    if hasattr(shape, "show"):
        shape.show(title, figures)
    else:
        show_table(title, ["figure", "value"], figure_rows(figures))
    if order is not None:
        _show_order(order)


def _show_order(order: dict[str, dict[str, float]]) -> None:
    from recurra.data.wording import readable

    known, shuffled = order["in order"], order["shuffled"]
    rows = [[name, readable(known[name]), readable(shuffled[name])] for name in known]
    show_table("How much the order of the steps matters", ["figure", "in order", "shuffled"], rows)
    say("where the two hardly differ, order carries little here: compare with a model trained with --cell none")


def figure_rows(figures: dict[str, Any]) -> list[list[str]]:
    """Rows of a table of figures; texts among them stand as they are."""
    from recurra.data.wording import readable

    forms = {int: "{:,}".format, str: str}
    return [[name, forms.get(type(value), readable)(value)] for name, value in figures.items()]
