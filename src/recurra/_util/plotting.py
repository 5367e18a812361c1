"""The look of all figures: for papers, and for readers who do not see all colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart; the marks differ too
STYLES = {
    "rnn": {"color": "#E69F00", "marker": "^", "label": "RNN"},
    "rnn_relu": {"color": "#009E73", "marker": "v", "label": "RNN (relu)"},
    "lstm": {"color": "#D55E00", "marker": "s", "label": "LSTM"},
    "gru": {"color": "#0072B2", "marker": "o", "label": "GRU"},
    "none": {"color": "#666666", "marker": "D", "label": "no memory"},
}


def label(cell: str) -> str:
    """A cell's name as it is written."""
    return STYLES[cell]["label"]


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
