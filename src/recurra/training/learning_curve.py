"""Learning curves: the metrics of each epoch, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra._util.atomic import written
from recurra._util.html import html_table
from recurra._util.plotting import BLUE, GREEN, VERMILION, panels

from .settings import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHERS = ("epoch", "loss", "valid_loss", "tokens_per_second", "seconds")
"""Keys of an epoch that are no score."""


class Epochs(list[dict[str, float]]):
    """The metrics of each epoch: a list of dictionaries that a notebook shows as a table.

    Example:
        >>> Epochs([{"epoch": 1, "loss": 0.5}])
        [{'epoch': 1, 'loss': 0.5}]
    """

    def _repr_html_(self) -> str:
        return html_table(self, len(self))


def draw_history(history: History, beside: Sequence[Callable[[Any], Any]] = (), title: str = "") -> Figure:
    """Draws loss and score of each epoch.

    Args:
        history: `history_` of a fitted estimator.
        beside: functions that draw on further axes beside the curves.
        title: heading.
    """
    epochs = [row["epoch"] for row in history]
    scores = [name for name in history[0] if name not in OTHERS]
    losses = [name for name in ("loss", "valid_loss") if name in history[0]]
    drawn = {"loss": losses, **({"validation score": scores} if scores else {})}
    figure, (axes,) = panels(len(drawn) + len(beside), width=4.5)
    for (label, names), one in zip(drawn.items(), axes, strict=False):
        _lines(one, epochs, history, names)
        one.set_ylabel(label)
    for draw, one in zip(beside, axes[len(drawn) :], strict=True):
        draw(one)
    if title:
        figure.suptitle(title)
    return figure


def plot_history(history: History, path: str | Path, title: str = "Learning curve") -> None:
    """Draws loss and score of each epoch into a picture file.

    Args:
        history: `history_` of a fitted estimator.
        path: picture to write; the suffix gives its format (`.png`, `.svg`, `.pdf`).
        title: heading.

    Raises:
        DataError: the picture cannot be written.
    """
    with written(path) as partial:
        draw_history(history, title=title).savefig(partial, dpi=150)


def _lines(axes: Any, epochs: list[float], history: History, names: list[str]) -> None:
    for name, colour, marker in zip(names, (BLUE, VERMILION, GREEN), "os^", strict=False):
        label = name.removeprefix("valid_").replace("_", " ") if name != "valid_loss" else "validation loss"
        label = "training loss" if name == "loss" else label
        axes.plot(epochs, [row[name] for row in history], color=colour, marker=marker, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
