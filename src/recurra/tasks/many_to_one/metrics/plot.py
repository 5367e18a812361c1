"""Plot of the metrics of a classifier: its confusion matrix and its calibration."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.atomic import written
from recurra._util.plotting import BLUE, check_picture, font_for, panels
from recurra.errors import UsageError

MOST_NAMES = 40
"""Classes whose names are written at the axes of the confusion matrix."""
MOST_NUMBERS = 12
"""Classes for which the numbers are written into the confusion matrix."""


def plot_classes(metrics: dict[str, Any], path: str | Path) -> str | None:
    """Draws the confusion matrix, with the share of each true class as colour, and the calibration.

    Args:
        metrics: result of `SequenceClassifier.evaluate`.
        path: picture to write; the suffix gives its format.

    Returns:
        None, or a note for the user if no font of this machine has all the characters.

    Raises:
        UsageError: the suffix is none of .svg, .png and .pdf, or there are too many classes for a matrix.
        DataError: the file cannot be written.
    """
    path = Path(path)
    check_picture(path)
    if metrics["confusion_matrix"] is None:
        raise UsageError(f"{len(metrics['classes']):,} classes are too many for a plot of the confusion matrix")
    names = [str(row["class"]) for row in metrics["classes"]]
    size = min(max(3.6, 0.35 * len(names) + 2), 14.0)
    figure, ((left, right),) = panels(2, width=size)
    figure.set_size_inches(2 * size, size * 0.9)
    missing = draw_matrix(left, names, np.array(metrics["confusion_matrix"], np.float64))
    figure.colorbar(left.images[0], ax=left, label="share of the true class", shrink=0.8)
    _draw_calibration(right, metrics)
    with written(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from.*font")  # the note says it once
        figure.savefig(partial, dpi=150, format=path.suffix[1:].lower())
    if not missing:
        return None
    return f"no font on this machine has all the characters ({missing[:5]} …); install one, such as fonts-noto-cjk"


def draw_matrix(axes: Any, names: list[str], matrix: np.ndarray) -> str:
    """Draws a confusion matrix `(classes, classes)`; returns the characters that no font has."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1e-300)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set(xlabel="predicted class", ylabel="true class", title="Confusion matrix")
    if len(names) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{value:g}", ha="center", va="center", color=colour, fontsize="small")
    if len(names) > MOST_NAMES:
        return ""
    font, missing = font_for("".join(names))
    shown: dict[str, Any] = {} if font is None else {"fontproperties": font}
    plain = [name.replace("$", r"\$") for name in names]  # a pair of them would begin mathematics
    axes.set_xticks(range(len(names)), plain, rotation=45, ha="right", rotation_mode="anchor", **shown)
    axes.set_yticks(range(len(names)), plain, **shown)
    return missing


def _draw_calibration(axes: Any, metrics: dict[str, Any]) -> None:
    bins = metrics["calibration"]
    probability, accuracy = ([row[name] for row in bins] for name in ("probability", "accuracy"))
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect")
    axes.plot(probability, accuracy, color=BLUE, marker="o", label="this model")
    title = f"Calibration (error {metrics['calibration_error']:.3f})"
    axes.set(xlabel="probability of the answer", ylabel="accuracy", title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes.set_aspect("equal")
    axes.legend(frameon=False)
