"""Tables of the detailed metrics of classifiers and regressors, for `recurra evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .console import say, show_table

MOST_CLASSES = 20
"""Classes in the table of classes."""
WIDEST_MATRIX = 8
"""Classes in a table of the confusion matrix; of more classes, the most frequent confusions are shown."""
MOST_CONFUSIONS = 10
MOST_GROUPS = 30
"""Groups in the table of groups: the largest."""
AVERAGED = ("precision", "recall", "f1")


def show_details(metrics: dict[str, Any]) -> None:
    """Writes the tables of the details in `metrics`, which an `evaluate` returned; nothing if there are none."""
    if "classes" in metrics:
        _show_classes(metrics)
        _show_confusions(metrics)
        _show_calibration(metrics["calibration"], metrics["calibration_error"])
        if "roc_auc_note" in metrics:
            say(f"roc_auc is {metrics['roc_auc_note']}")
    if "labels" in metrics:
        _show_rows("Each label", metrics["labels"], list(metrics["labels"][0]))
    if "targets" in metrics:
        _show_rows("Each target", metrics["targets"], list(metrics["targets"][0]))
    if "groups" in metrics:
        _show_groups(metrics["groups"], metrics.get("by", "group"))


def _show_classes(metrics: dict[str, Any]) -> None:
    classes = metrics["classes"]
    columns = ["class", "n", "precision", "recall", "f1", *(["roc_auc"] if len(classes) > 2 else [])]
    title, shown = "Each class", classes
    if len(classes) > MOST_CLASSES:
        shown = sorted((row for row in classes if row["f1"] is not None), key=lambda row: row["f1"])[:MOST_CLASSES]
        title = f"The {len(shown)} of {len(classes)} classes with the lowest F1 (--json has all)"
    average = {"class": "macro average", "n": metrics["n"], **{key: metrics[f"macro_{key}"] for key in AVERAGED}}
    _show_rows(title, [*shown, {**average, "roc_auc": metrics["roc_auc"]}], columns)


def _show_confusions(metrics: dict[str, Any]) -> None:
    classes, wrong = metrics["classes"], metrics["confusions"]
    if len(classes) <= WIDEST_MATRIX:
        names = [str(row["class"]) for row in classes]
        rows = [[name, *map(_cell, row)] for name, row in zip(names, metrics["confusion_matrix"], strict=True)]
        show_table("Confusion matrix", ["true \\ predicted", *names], rows)
    elif wrong:
        more = f"; {len(wrong)} different ones in all" if len(wrong) > MOST_CONFUSIONS else ""
        _show_rows(f"Most frequent confusions{more}", wrong[:MOST_CONFUSIONS], ["class", "predicted", "n"])


def _show_calibration(bins: Sequence[dict[str, Any]], error: float) -> None:
    rows = [
        [f"{row['from']:.1f} to {row['to']:.1f}", *(_cell(row[name]) for name in ("n", "probability", "accuracy"))]
        for row in bins
    ]
    title = f"Calibration, expected error {_cell(error)}"
    show_table(title, ["probability", "n", "mean", "accuracy"], rows)


def _show_groups(groups: Sequence[dict[str, Any]], column: str) -> None:
    from recurra._util.messages import listed
    from recurra.tasks.many_to_one.metrics.groups import SMALL

    names = ["(missing)" if row["group"] is None else row["group"] for row in groups]
    more = f", the largest {MOST_GROUPS} of {len(groups)} (--json has all)" if len(groups) > MOST_GROUPS else ""
    keys = [key for key in groups[0] if key not in ("group", "small")]
    rows = [[name, *(_cell(row[key]) for key in keys)] for name, row in zip(names, groups, strict=True)]
    show_table(f"Each {column}{more}", [column, *keys], rows[:MOST_GROUPS])
    small = [name for name, row in zip(names, groups, strict=True) if row["small"]]
    if small:
        say(f"groups of fewer than {SMALL} sequences, whose metrics depend on chance: {listed(small, 10)}")


def _show_rows(title: str, rows: Sequence[dict[str, Any]], columns: list[str]) -> None:
    show_table(title, columns, [[_cell(row[name]) for name in columns] for row in rows])


def _cell(value: Any) -> str:
    from recurra._util.messages import readable

    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else readable(value)
