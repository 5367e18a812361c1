"""Learning curves as a picture."""

from __future__ import annotations

from pathlib import Path

from recurra._util.atomic import written
from recurra._util.plotting import BLUE, GREEN, VERMILION

from .settings import History


def plot_history(history: History, path: str | Path, title: str = "Learning curve") -> None:
    """Draws loss and score of each epoch into a picture file.

    Args:
        history: `history_` of a fitted estimator.
        path: picture to write; the suffix gives its format (`.png`, `.svg`, `.pdf`).
        title: heading.

    Raises:
        DataError: the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    skip = ("epoch", "loss", "valid_loss", "tokens_per_second", "seconds")
    scores = [name for name in history[0] if name not in skip]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _lines(left, epochs, history, [n for n in ("loss", "valid_loss") if n in history[0]])
    _lines(right, epochs, history, scores)
    left.set_ylabel("loss")
    right.set_ylabel("validation score")
    figure.suptitle(title)
    with written(path) as partial:
        figure.savefig(partial, dpi=150)


def _lines(axes, epochs: list[float], history: History, names: list[str]) -> None:
    for name, colour, marker in zip(names, (BLUE, VERMILION, GREEN), "os^", strict=False):
        label = name.removeprefix("valid_").replace("_", " ") if name != "valid_loss" else "validation loss"
        label = "training loss" if name == "loss" else label
        axes.plot(epochs, [row[name] for row in history], color=colour, marker=marker, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if names:
        axes.legend(frameon=False)
