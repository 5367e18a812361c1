"""`recurra list`: the model folders below a folder."""

from __future__ import annotations

import json as _json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from rich.cells import cell_len

from recurra._util.language import translated
from recurra.cli.support.console import say, show_json, show_table
from recurra.errors import DataError

MOST_BYTES = 64 << 20
"""Size of the largest file that is read."""


def list_models(
    folder: Annotated[
        Path, typer.Argument(help="Folder to search, with all folders below it.", metavar="[DIR]")
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """List the models below a folder, with their task, network, metric and training data.

    [bold]Examples[/bold]

      recurra list
      recurra list experiments
      recurra list experiments --json

    The metric is that of the validation data. Weights are not read.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    found = [_described(path, folder) for path in _models(folder)]
    if json:
        for row in found:
            show_json(row)
        return
    if not found:
        say(f"there is no model below {folder}")
        return
    rows = [_cells(row) for row in found]
    columns = _fitting(rows)
    show_table(f"Models in {folder}", columns, [[row[name] for name in columns] for row in rows], numbers=False)


LEAST_IMPORTANT = ("written", "network", "trained on", "beats baselines", "task")
"""Columns that are left out of the table on a narrow terminal, in this order."""


def _fitting(rows: list[dict[str, str]]) -> list[str]:
    """Returns the names of the columns that fit the width of the terminal."""
    width, columns = get_terminal_size().columns, list(rows[0])
    for name in LEAST_IMPORTANT:
        if 1 + sum(3 + max(_width(column), *(_width(row[column]) for row in rows)) for column in columns) <= width:
            break
        columns.remove(name)
    return columns


def _width(text: str) -> int:
    """Returns the width of a text of the table on a terminal, where Hangul takes two columns."""
    return cell_len(translated(text, "table"))


def _models(folder: Path) -> Iterator[Path]:
    """Yields the model folders in and below a folder, in alphabetical order. Links to folders are not followed."""
    for name, below, files in os.walk(folder):
        below[:] = sorted(one for one in below if not one.startswith("."))
        if "config.json" in files and read_object(Path(name, "config.json")).get("format") == "recurra":
            below.clear()
            yield Path(name)


def _described(path: Path, folder: Path) -> dict[str, Any]:
    config, metrics = read_object(path / "config.json"), read_object(path / "metrics.json")
    params, comparison = _object(config, "params"), _object(metrics, "comparison")
    figure = comparison.get("figure")
    return {
        "model": str(path.relative_to(folder)) if path != folder else str(folder),
        "task": config.get("task"),
        "cell": params.get("cell"),
        "layers": params.get("num_layers"),
        "hidden_size": params.get("hidden_size"),
        "metric": figure,
        "value": _object(metrics, "valid").get(str(figure)),
        "light": comparison.get("light"),
        "training_file": _object(config, "provenance").get("training_file"),
        "written": datetime.fromtimestamp((path / "config.json").stat().st_mtime, UTC).isoformat(timespec="seconds"),
    }


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Returns the cells of a row of the table by the name of their column."""
    from recurra._util.messages import readable

    value, light = row["value"], str(row["light"])
    words = {"green": "yes", "yellow": "within chance", "red": "no", "unknown": "not measured"}
    return {
        "model": row["model"],
        "task": str(row["task"]),
        "network": "no memory" if row["cell"] == "none" else f"{row['cell']} {row['layers']} × {row['hidden_size']}",
        "metric": f"{row['metric']} {readable(value)}" if isinstance(value, int | float) else "–",
        "beats baselines": translated(words.get(light, "–"), "answer"),
        "trained on": str(row["training_file"] or "–"),
        "written": row["written"][:10],
    }


def read_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object in a file; an empty one if there is none."""
    try:
        found = _json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _object(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}
