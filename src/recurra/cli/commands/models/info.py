"""`recurra info`: what a model folder contains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.commands.evaluate import AllowNonfinite, Model
from recurra.cli.support.console import say, show_json, show_table

MOST_LABELS = 20
"""Labels in the table."""


def info(
    model: Model,
    allow_nonfinite: AllowNonfinite = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Show what a model is: task, sizes, labels, training data and metrics.

    [bold]Examples[/bold]

      recurra info my-model
      recurra info my-model --json
    """
    from recurra.tasks import load

    estimator: Any = load(model, allow_nonfinite=allow_nonfinite)
    found = _described(estimator, model)
    if json:
        show_json(found)
        return
    show_table(str(model), ["what", "value"], _rows(found), numbers=False)
    comparison = estimator.metrics_.get("comparison")
    if comparison and comparison["sentence"]:
        say(comparison["sentence"])


def _described(estimator: Any, model: Path) -> dict[str, Any]:
    """Returns the description of a model as JSON values."""
    from recurra.cells.registry import name_of
    from recurra.nn import RECURRENT

    weights = list(estimator.network_.parameters())
    both = any(layer.bidirectional for layer in estimator.network_.modules() if isinstance(layer, RECURRENT))
    sizes = {"cell": name_of(estimator.cell), "layers": estimator.num_layers, "hidden_size": estimator.hidden_size}
    return {
        "model": str(model),
        "task": estimator.task,
        "title": estimator.title,
        **sizes,
        "bidirectional": both,
        "weights": sum(weight.numel() for weight in weights),
        "bytes": sum(file.stat().st_size for file in model.rglob("*") if file.is_file()),
        "reads": estimator.service().about(),
        "training data": estimator.provenance_.for_card() | estimator.data_,
        "metrics": {key: value for key, value in estimator.metrics_.items() if key not in ("history", "watch")},
    }


def _rows(found: dict[str, Any]) -> list[list[str]]:
    from recurra._util.messages import counted, listed, readable

    layers = f"{counted(found['layers'], 'layer')}, {counted(found['hidden_size'], 'unit')}"
    both = ", both directions" if found["bidirectional"] else ""
    memory = "no memory" if found["cell"] == "none" else f"{found['cell']}, {layers}{both}"
    rows = [
        ["task", f"{found['title']} ({found['task']})"],
        ["network", f"{memory}; {found['weights']:,} weights"],
        ["folder", f"{found['bytes'] / 1e6:,.1f} MB"],
    ]
    for name, value in {**found["reads"], **found["training data"]}.items():
        if value is None or value == "" or value == [] or isinstance(value, dict) or name in ("mean", "scale"):
            continue
        shown = listed(list(map(str, value)), MOST_LABELS) if isinstance(value, list) else _cell(value)
        rows.append([name.replace("_", " "), shown])
    metrics = found["metrics"]
    rows.append(["best epoch", f"{metrics['best_epoch']} of {metrics['epochs']}"])
    for name, values in {"validation": metrics["valid"], **(metrics.get("baselines") or {})}.items():
        if values:
            rows.append([name, ", ".join(f"{key} {readable(value)}" for key, value in values.items())])
    return rows


def _cell(value: Any) -> str:
    return f"{value:,}" if type(value) is int else str(value)
