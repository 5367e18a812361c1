"""The look of all figures: for papers, and for readers who do not see all colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart; the marks differ too
PALETTE = (
    ("#D55E00", "s"),
    ("#0072B2", "o"),
    ("#E69F00", "^"),
    ("#009E73", "v"),
    ("#CC79A7", "P"),
    ("#56B4E9", "X"),
)
"""Colours of lines, each with its mark."""
GREY = ("#666666", "D")


def panels(columns: int, rows: int = 1, width: float = 3.6) -> tuple[Figure, list[list[Any]]]:
    """A figure with so many panels, each so many inches wide, as rows of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, 3.2 * rows), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    return figure, grid.tolist()


def bars(axes: Any, names: Sequence[str], values: Sequence[float], colours: Sequence[str], format: str) -> None:
    """Horizontal bars with their values beside them, from above."""
    from matplotlib import patheffects

    drawn = axes.barh(range(len(names)), values, color=colours, height=0.7)
    texts = axes.bar_label(drawn, fmt=format, padding=3)
    for text in texts:
        text.set_path_effects([patheffects.withStroke(linewidth=4, foreground="white")])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.grid(visible=False, axis="y")
