"""`recurra evaluate`: metrics of a model on labelled data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra._util.plotting import check_picture
from recurra.cli.support.console import say, say_best, show_json, show_table
from recurra.cli.support.details import show_details
from recurra.cli.support.files import located
from recurra.cli.support.options import EvaluateOptions, with_options
from recurra.cli.tasks import module_of
from recurra.cli.tasks.parts import evaluate_parts
from recurra.errors import UsageError

Model = Annotated[Path, typer.Argument(help="Model folder.", metavar="MODEL")]
AllowNonfinite = Annotated[
    bool, typer.Option("--allow-nonfinite", help="Load a model whose weights are NaN or infinite.")
]


@with_options(EvaluateOptions)
def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(help="Labelled file.", metavar="DATA")],
    order_test: Annotated[
        bool, typer.Option("--order-test", help="Also measure with the steps of each sequence in random order.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: EvaluateOptions,
) -> None:
    """Measure a model on labelled data.

    [bold]Examples[/bold]

      recurra evaluate my-model test.csv
      recurra evaluate my-model test.csv --json
      recurra evaluate my-model test.csv --order-test
      recurra evaluate my-model reviews.csv --by genre --plot confusions.svg
    """
    from recurra.tasks import load

    estimator: Any = load(model)
    commands = module_of(estimator, options)
    draw = getattr(commands, "plot_evaluation", None) if options.plot is not None else None
    if draw is not None and options.plot is not None:
        check_picture(options.plot)
    in_parts = None if order_test else getattr(commands, "evaluate", None)
    if options.processes() is not None:
        if order_test:
            raise UsageError("--order-test does not go with --workers")
        in_parts = _on_workers(model)
    metrics, order = None if in_parts is None else in_parts(estimator, data, options), None
    if metrics is None:
        labelled = commands.read(estimator, data, options)
        with located(labelled.where):
            given = {"by": labelled.groups, "coverage": options.coverage, "dynamic": options.dynamic or None}
            metrics = estimator.evaluate(*labelled.arguments, **{k: v for k, v in given.items() if v is not None})
            order = estimator.order_test(*labelled.arguments) if order_test else None
    names = estimator.provenance_.target_columns
    if names and len(metrics.get("targets", ())) == len(names):
        rows = [{**row, "target": name} for name, row in zip(names, metrics["targets"], strict=True)]
        metrics = {**metrics, "targets": rows}
    if options.by is not None:
        metrics = {**metrics, "by": options.by}
    if draw is not None:
        draw(metrics, options.plot)
        say(f"picture written to {options.plot}")
    if json:
        show_json(metrics if order is None else {**metrics, "order_test": order})
        return
    title = f"{model} on {data.name}"
    if hasattr(commands, "show"):
        commands.show(title, metrics)
    else:
        show_table(title, *metric_table(metrics))
        show_details(metrics)
    comparison = metrics.get("comparison")
    say_best(metrics)
    if comparison and comparison["sentence"]:
        say(comparison["sentence"])
    if order is not None:
        _show_order(order)


def _on_workers(model: Path) -> Callable[[Any, Path, EvaluateOptions], dict[str, Any]]:
    return lambda estimator, data, options: evaluate_parts(estimator, model, str(data), options)


def _show_order(order: dict[str, Any]) -> None:
    from recurra._util.messages import readable

    known, shuffled = order["in order"], order["shuffled"]
    rows = [[name, readable(known[name]), readable(shuffled[name])] for name in known]
    show_table("How much the order of the steps matters", ["metric", "in order", "shuffled"], rows)
    hardly = (
        "if they hardly differ, the order of the steps matters little: compare with a model trained with --cell none"
    )
    say(order.get("sentence", hardly))


NOT_SHOWN = (
    *("baselines", "comparison", "log_loss", "macro_precision", "macro_recall", "calibration_error"),
    *("roc_auc_note", "roc_auc_margin", "confusion_matrix", "by", "dynamic"),
)
"""Keys without a row: nested ones, those in the tables of `show_details`, and `log_loss`, which equals `loss`."""
ALIASES = ("unigram_", "nearest_neighbour_")
"""Prefixes of keys that repeat the metrics of a baseline for scripts of earlier versions."""


def metric_table(metrics: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table of metrics: those of the network, then those of each baseline.

    Args:
        metrics: what `evaluate` returns. Texts among them are shown as they are.
    """
    baselines = metrics.get("baselines", {})
    if "dynamic" in metrics:
        baselines = {"dynamic": metrics["dynamic"], **baselines}
    rows = []
    for name, value in metrics.items():
        if name not in NOT_SHOWN and not name.startswith(ALIASES) and not isinstance(value, list):
            rows.append([name, _shown(value), *(_shown(baseline.get(name, "")) for baseline in baselines.values())])
    return ["metric", "this model" if baselines else "value", *baselines], rows


def _shown(value: Any) -> str:
    from recurra._util.messages import readable

    return "–" if value is None else {int: "{:,}".format, str: str}.get(type(value), readable)(value)
