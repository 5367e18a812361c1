"""Figures that a notebook shows. This module imports matplotlib; other modules import it inside functions."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: TID253
from matplotlib.figure import Figure  # noqa: TID253

NOTEBOOK_DPI = 80
"""Pixels per inch in a notebook."""


class Picture(Figure):
    """A figure of matplotlib that a notebook shows without `pyplot`; `savefig` writes it to a file.

    Args:
        **options: those of `matplotlib.figure.Figure`.

    Example:
        >>> Picture(figsize=(2, 1))._repr_png_()[1:4]
        b'PNG'
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.savefig(content, format="png", dpi=NOTEBOOK_DPI)
        return content.getvalue()
