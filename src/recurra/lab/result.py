"""Result of an experiment: rows of a table, a figure, and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra._util import strict_json
from recurra._util.atomic import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
Tell = Callable[[str, float, float], None]
"""Progress callback: a description, the amount of work done, and the total."""


def silent(what: str, done: float, total: float) -> None:
    """Reports no progress."""


@dataclass(frozen=True)
class Result:
    """Result of an experiment.

    Attributes:
        experiment: its name, as in `recurra lab NAME`.
        title: heading of the table and the figure.
        columns: heading with unit of every column of the table, by its key in `rows`.
        rows: measured values, one dictionary per row.
        settings: settings of the experiment.
        curves: data of the figure that is not in the rows.
        notes: explanations below the table.
        draw: draws the figure.

    Example:
        `QUICK` has the arguments of a small version of each experiment.

        >>> from recurra import lab
        >>> small = {**lab.QUICK["vanishing"], "lags": (10,), "cells": ("rnn",), "steps": 20}
        >>> result = lab.vanishing(**small)
        >>> result.experiment, len(result.rows) == len(result.table().splitlines()) - 2
        ('vanishing', True)
    """

    experiment: str
    title: str
    columns: dict[str, str]
    rows: list[Row]
    settings: dict[str, Any]
    draw: Callable[[Result], Figure] = field(repr=False)
    curves: list[Row] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list)

    def cells(self) -> list[list[str]]:
        """Returns the rows as texts, in the order of `columns`."""
        return [[as_text(row.get(name)) for name in self.columns] for row in self.rows]

    def table(self) -> str:
        """Returns the rows as a Markdown table."""
        lines = [list(self.columns.values()), *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        padded.insert(1, " | ".join("-" * width for width in widths))
        return "\n".join(f"| {line} |" for line in padded)

    def plot(self, path: str | Path) -> None:
        """Draws the figure into a file. The file is written atomically.

        Args:
            path: picture to write; the suffix determines its format (`.png`, `.svg`, `.pdf`).

        Raises:
            DataError: it cannot be written.
        """
        import matplotlib

        kind = Path(path).suffix.lstrip(".").lower()
        with matplotlib.rc_context({"svg.hashsalt": "recurra"}):  # equal results give equal files
            figure = self.draw(self)
            with written(Path(path)) as partial:
                figure.savefig(partial, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)

    def as_dict(self) -> dict[str, Any]:
        """Returns all fields except the figure, for JSON; numbers that are not finite become None."""
        names = ("experiment", "title", "settings", "columns", "rows", "curves", "notes")
        return _finite({name: getattr(self, name) for name in names})

    def to_json(self) -> str:
        """Returns all fields except the figure, as JSON."""
        return strict_json.dump(self.as_dict())


def as_text(value: Any) -> str:
    """Formats a value for a table.

    Example:
        >>> as_text(0.00123456), as_text(12345), as_text(1234.5), as_text(None)
        ('0.00123', '12,345', '1,234', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (abs(value) >= 1000 and math.isfinite(value)):
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if 1e-3 <= abs(value) < 1000 else f"{value:.2g}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
