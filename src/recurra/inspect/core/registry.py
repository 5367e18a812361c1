"""Registry of inspection measures. The report page and the documentation table are built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recurra.errors import DataError, UsageError
from recurra.tasks.subject import Subject

if TYPE_CHECKING:
    import xarray

PageLayers = Mapping[str, "xarray.Dataset"]
"""The recurrent layers on a page by name, each with the shown steps and units of one sequence."""


class Text(NamedTuple):
    """A text in both languages of the report page.

    Attributes:
        en: English.
        ko: Korean.
    """

    en: str
    ko: str


@dataclass(frozen=True)
class Section:
    """The section of the report page that shows a measure.

    Attributes:
        name: key of the section on the page, and `id` of its HTML element.
        compute: computes the measure on all sequences of a `Subject`. If it raises a `UsageError` or `DataError`, the
            page shows the message instead of the section.
        payload: turns the result into data for JSON, given the layers on the page and the number of the sequence.
        script: JavaScript that draws the section, as text or as a file. It calls `R.measure(name, draw)`.
    """

    name: str
    compute: Callable[[Subject], Any]
    payload: Callable[[Any, PageLayers, int], dict[str, Any]]
    script: str | Path

    def javascript(self) -> str:
        """The JavaScript as text."""
        return self.script.read_text(encoding="utf-8") if isinstance(self.script, Path) else self.script


@dataclass(frozen=True)
class Measure:
    """An inspection measure.

    Attributes:
        function: the function that computes the measure.
        title: heading of its section of the report page.
        description: one or two sentences about what it measures.
        section: its section of the report page; None if it has none.
    """

    function: Callable[..., Any]
    title: Text
    description: Text
    section: Section | None = None

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__


MEASURES: dict[str, Measure] = {}
"""All measures by name, in the order of registration."""


def register(measure: Measure) -> None:
    """Adds a measure. The sections of the report page are in the order of registration.

    Raises:
        UsageError: another measure has this name, or its section has the name of another section.

    Example:
        A custom measure needs one Python file. Without a section it appears only in the documentation table.

        >>> from recurra.inspect.core.registry import Measure, Text, register
        >>> def norms(model): ...
        >>> register(Measure(norms, Text("Norms", "노름"), Text("Norms of all weights.", "모든 가중치의 노름입니다.")))
        >>> del MEASURES["norms"]
    """
    taken = {found.section.name for found in MEASURES.values() if found.section}
    if measure.name in MEASURES or (measure.section and measure.section.name in taken):
        raise UsageError(f"a measure or section with the name of {measure.name!r} is already registered")
    MEASURES[measure.name] = measure


def documentation_table() -> list[tuple[str, str, str]]:
    """Returns the rows of the documentation table: function name, title and description of each measure, in English.

    Example:
        >>> sorted(name for name, title, description in documentation_table())[:2]
        ['attribute', 'fixed_points']
    """
    return [(name, measure.title.en, measure.description.en) for name, measure in MEASURES.items()]


def attempt(compute: Callable[[], Any]) -> Any:
    """Returns the result of a measure, or None if it does not apply to the model or its inputs."""
    try:
        return compute()
    except (UsageError, DataError):
        return None


def json_numbers(values: np.ndarray) -> Any:
    """Converts an array to nested lists for JSON: numbers with six digits, null for NaN, "inf" for infinity.

    Example:
        >>> json_numbers(np.array([[0.123456789, np.inf, np.nan]]))
        [[0.123457, 'inf', None]]
    """
    if values.ndim:
        return [json_numbers(v) for v in values]
    value = float(values)
    return float(f"{value:.6g}") if np.isfinite(value) else ("inf" if value > 0 else None)


def curve_points(count: int, most: int = 300) -> list[int]:
    """Returns the indices of the points of a curve to draw, evenly spaced."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))
