"""Writes messages for people to standard error and data to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from recurra._util import strict_json
from recurra._util.language import translated
from recurra._util.terminal import say

__all__ = ["fail", "on_terminal", "progress_bar", "say", "say_best", "show_json", "show_table", "to_json"]


def on_terminal() -> bool:
    """Returns whether messages go to a terminal."""
    return Console(stderr=True).is_terminal


def fail(message: str) -> None:
    """Writes an error, at most three lines of it, to standard error."""
    console = Console(stderr=True, soft_wrap=True)
    lines = [line for line in translated(str(message)).splitlines() if line.strip()][:3]
    console.print(translated("error: "), style="bold red", end="", markup=False)
    console.print("\n".join(lines), highlight=False, markup=False)


def say_best(metrics: dict[str, Any]) -> None:
    """Prints the name of the best baseline if there are several.

    Args:
        metrics: a dictionary with `baselines` and `comparison`.
    """
    from recurra._util.messages import readable

    comparison, baselines = metrics.get("comparison") or {}, metrics.get("baselines") or {}
    if comparison.get("best") and len(baselines) > 1:
        value = baselines[comparison["best"]][comparison["figure"]]
        say(f"best baseline: {comparison['best']}, {comparison['figure']} {readable(value)}")


def show_table(
    title: str, columns: list[str], rows: list[list[str]], *, numbers: bool = True, stderr: bool = False
) -> None:
    """Writes a table to standard output or standard error, with numbers aligned to the right."""
    console = Console(highlight=False, markup=False, stderr=stderr)
    table = Table(title=translated(title, "" if " " in title else "table"), title_justify="left", title_style="bold")
    rows = [[translated(name, "table"), *(translated(cell, "cell") for cell in cells)] for name, *cells in rows]
    longest = max((cell_len(row[0]) for row in rows), default=0)
    for i, column in enumerate(columns):
        whole = numbers and not i and longest <= console.width // 3  # names of metrics stay on one line
        table.add_column(
            translated(column, "table"), justify="right" if i and numbers else "left", overflow="fold", no_wrap=whole
        )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_json(value: Any) -> None:
    """Writes one JSON object on one line to standard output."""
    sys.stdout.write(to_json(value) + "\n")


def to_json(value: Any) -> str:
    """Returns strict JSON on one line. Dates and other values that JSON lacks become texts; NaN becomes `null`."""
    return strict_json.dump(value, default=str)


@contextmanager
def progress_bar() -> Iterator[Any]:
    """Yields a function that updates a progress bar: current work, amount done, total. It needs a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        yield lambda what, done, total: bar.update(task, description=translated(what), completed=done, total=total)
