"""Palette and layout of all figures. The colours are safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERMILION, BLUE, ORANGE, GREEN = "#D55E00", "#0072B2", "#E69F00", "#009E73"
PALETTE = ((VERMILION, "s"), (BLUE, "o"), (ORANGE, "^"), (GREEN, "v"), ("#CC79A7", "P"), ("#56B4E9", "X"))
"""Colours of lines, each with its marker: Okabe and Ito's palette."""
GREY = ("#666666", "D")

PICTURES = (".svg", ".png", ".pdf")
"""Formats of plots, by the suffix of the file."""

GATES_AND_STATES = {
    "light": {
        **dict.fromkeys(("forget", "update"), BLUE),
        **dict.fromkeys(("input", "reset"), "#B36B00"),
        "candidate": "#A8477F",
        "output": "#00785A",
        "hidden": "#C44601",
        "cell": "#1D2430",
    },
    "dark": {
        **dict.fromkeys(("forget", "update"), "#58B4F0"),
        **dict.fromkeys(("input", "reset"), "#F0B440"),
        "candidate": "#E493C0",
        "output": "#3FC79A",
        "hidden": "#FF8A4C",
        "cell": "#F0EEE9",
    },
}
"""Colours of gates and states on a light and on a dark background."""


def check_picture(path: Path) -> None:
    """Raises UsageError if the suffix of a file is none of `PICTURES`."""
    if path.suffix.lower() not in PICTURES:
        raise UsageError(f"{path} should end in {', '.join(PICTURES)}")


def panels(columns: int, rows: int = 1, width: float = 3.6) -> tuple[Figure, list[list[Any]]]:
    """Creates a figure with a grid of panels of a width in inches; returns it with its rows of axes."""
    from .picture import Picture

    figure = Picture(figsize=(width * columns, 3.2 * rows), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    return figure, grid.tolist()


def bars(axes: Any, names: Sequence[str], values: Sequence[float], colours: Sequence[str], format: str) -> None:
    """Draws horizontal bars with labels of their values, from top to bottom."""
    from matplotlib import patheffects

    drawn = axes.barh(range(len(names)), values, color=colours, height=0.7)
    texts = axes.bar_label(drawn, fmt=format, padding=3)
    for text in texts:
        text.set_path_effects([patheffects.withStroke(linewidth=4, foreground="white")])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.grid(visible=False, axis="y")


def font_for(text: str) -> tuple[Any, str]:
    """Returns a font of this machine that has all characters of a text, and the characters that it lacks.

    The default font (None) has priority; of several that lack some, the one that lacks least is chosen.
    """
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    needed = {ord(c) for c in text if not c.isspace()}
    default = font_manager.findfont(font_manager.FontProperties())
    best, lacking = None, needed
    others = sorted(font_manager.findSystemFonts(), key=lambda path: ("Regular" not in path, path))
    for path in [default, *others]:
        try:
            missing = needed - set(FT2Font(path).get_charmap())
        except (OSError, RuntimeError):  # a damaged font, or a kind that cannot be drawn with
            continue
        if path == default or len(missing) < len(lacking):
            best, lacking = (None if path == default else path), missing
        if not lacking:
            break
    font = None if best is None else font_manager.FontProperties(fname=best)
    return font, "".join(map(chr, sorted(lacking)))
