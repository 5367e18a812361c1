"""Attention of the decoder to the source tokens for each token of the translation, as numbers and as a plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recurra._util.atomic import written
from recurra._util.plotting import font_for
from recurra.errors import DataError


@dataclass(frozen=True)
class Alignment:
    """Attention of one translation.

    Attributes:
        source: tokens of the source.
        target: tokens of the translation, without its end.
        weights: attention `(target tokens, source tokens)`; every row sums to 1.
        text: the translation.
    """

    source: list[str]
    target: list[str]
    weights: np.ndarray
    text: str

    def plot(self, path: str | Path) -> str | None:
        """Draws the weights into a picture file.

        Args:
            path: picture to write; the suffix gives its format (`.png`, `.svg`, `.pdf`).

        Returns:
            None, or what a person should know: that no font of this machine has all the characters.

        Raises:
            DataError: the file cannot be written, or has no format of pictures.
        """
        import warnings

        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        path = Path(path)
        font, missing = font_for("".join(self.source + self.target))
        size = [1.5 + 0.45 * max(len(self.source), 4), 1.2 + 0.38 * max(len(self.target), 3)]
        figure = Figure(figsize=(min(size[0], 30), min(size[1], 30)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(self.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        shown: dict[str, Any] = {} if font is None else {"fontproperties": font}
        axes.set_xticks(range(len(self.source)), [_plain(t) for t in self.source], rotation=45, ha="left", **shown)
        axes.set_yticks(range(len(self.target)), [_plain(t) for t in self.target], **shown)
        axes.xaxis.tick_top()
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        with written(path) as partial, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*missing from.*font")  # said once, in words
            try:
                figure.savefig(partial, dpi=150)
            except ValueError as error:  # no format of pictures
                raise DataError(f"the picture {path} cannot be written: {error}") from None
        if missing:
            return (
                f"no font on this machine has all the characters ({missing[:5]} …), which are boxes in the picture; "
                "install one, such as Noto Sans CJK (package fonts-noto-cjk)"
            )
        return None


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a pair of them would begin mathematics
