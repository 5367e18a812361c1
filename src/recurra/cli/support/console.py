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
    columns = [translated(column, "table") for column in columns]
    rows = [[translated(name, "table"), *(translated(cell, "cell") for cell in cells)] for name, *cells in rows]
    title = translated(title, "" if " " in title else "table")
    whole = [(list(range(len(columns))), None, False)]
    for part, widths, narrow in _parts(columns, rows, console.width) if numbers else whole:
        layout: dict[str, Any] = {"padding": 0, "show_edge": False} if narrow else {}
        table = Table(title=title or None, title_justify="left", title_style="bold", **layout)
        for i, width in zip(part, widths or [None] * len(part), strict=True):
            table.add_column(columns[i], justify="right" if i and numbers else "left", overflow="fold", width=width)
        for row in rows:
            table.add_row(*(row[i] for i in part))
        console.print(table)
        title = ""


def _parts(columns: list[str], rows: list[list[str]], width: int) -> Iterator[tuple[list[int], list[int] | None, bool]]:
    """Yields the parts of a table of numbers that is too wide: columns, their widths, and whether it is narrow.

    Each part has the first column and as many of the others as fit, one at least.
    """
    first, end = 1, len(columns)
    while first < max(end, 2):
        for last in range(max(end, 2), first, -1):
            part = [0, *range(first, last)][:end]
            found = column_widths([columns[i] for i in part], [[row[i] for i in part] for row in rows], width)
            if found or last == first + 1:
                widths, narrow = found or (None, False)
                yield part, widths, narrow
                first = last
                break


def column_widths(columns: list[str], rows: list[list[str]], width: int) -> tuple[list[int], bool] | None:
    """Returns widths with which no number is divided between lines.

    Args:
        columns: heads of the columns. The first column has names, the others have numbers.
        rows: the cells.
        width: columns of the terminal.

    Returns:
        A width for each column, and whether the table is narrow: one line between two columns, and nothing else.
        `None` if the numbers alone are too wide.

    Example:
        >>> column_widths(["class", "precision"], [["positive", "0.7912"]], 24)
        ([8, 9], False)
        >>> column_widths(["class", "precision"], [["positive", "0.7912"]], 16)
        ([8, 7], True)
    """
    every = [[column, *(row[i] for row in rows)] for i, column in enumerate(columns)]
    lines = [max(map(cell_len, cells)) for cells in every]
    # heads, names and other texts are divided between words
    words = [max(cell_len(word) for cell in cells for word in cell.split() or [""]) for cells in every]
    heads = [max(map(cell_len, column.split() or [""])) for column in columns]
    numbers = [max((cell_len(word) for cell in cells[1:] for word in cell.split()), default=0) for cells in every]
    least = [min(words[0], max(heads[0], 8))]  # longer names are divided
    least += [max(cell, min(head, 4)) for cell, head in zip(numbers[1:], heads[1:], strict=True)]
    for narrow, found in ((False, words), (True, least)):
        spare = width - sum(found) - (len(columns) - 1 if narrow else 3 * len(columns) + 1)
        if spare >= 0:
            found = list(found)
            for wanted in (words, lines):
                for i in [*range(1, len(columns)), 0]:
                    added = min(spare, max(0, wanted[i] - found[i]))
                    found[i] += added
                    spare -= added
            return found, narrow
    return None


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
