"""Sections of the report page that show measures of the sequence, in the order of the registry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.errors import DataError, UsageError
from recurra.inspect.core.registry import MEASURES, Measure, PageLayers, Section
from recurra.tasks.subject import Subject

MAX_STEPS = 2000
"""Maximum number of steps of a sequence whose measures are computed for a page. More would take minutes."""


def page_measures() -> list[tuple[Measure, Section]]:
    """Returns the measures that have a section on the page."""
    return [(measure, measure.section) for measure in MEASURES.values() if measure.section]


@dataclass(frozen=True)
class SectionChoice:
    """Sections whose measures are computed.

    Attributes:
        names: names of the sections; None for all.
        max_steps: maximum number of steps of a sequence whose measures are computed.
    """

    names: Collection[str] | None = None
    max_steps: int = MAX_STEPS

    def measures(self) -> list[tuple[Measure, Section]]:
        """Returns the measures of the chosen sections."""
        return [found for found in page_measures() if self.names is None or found[1].name in self.names]

    def headings(self) -> list[dict[str, Any]]:
        """Returns name, title and description of each section, for JSON."""
        return [
            {"name": section.name, "title": measure.title._asdict(), "description": measure.description._asdict()}
            for measure, section in self.measures()
        ]


@dataclass(frozen=True)
class SectionResults:
    """Results of the measures on the page.

    Attributes:
        payloads: for each section by name, the function that creates its data from the layers on the page and the
            number of the sequence.
    """

    payloads: dict[str, Callable[[PageLayers, int], dict[str, Any]]]

    def to_json(self, parts: PageLayers, row: int) -> dict[str, Any]:
        """Returns the data of all sections. The key `why` gives the reason if a measure could not be computed.

        Args:
            parts: the recurrent layers on the page, each with the shown steps and units of one sequence.
            row: number of the sequence.
        """
        return {name: payload(parts, row) for name, payload in self.payloads.items()}


def compute_sections(subject: Subject, parts: PageLayers, choice: SectionChoice | None = None) -> SectionResults:
    """Computes the measures of sections on all sequences of a subject.

    Args:
        subject: the model and its inputs.
        parts: its recurrent layers.
        choice: the sections; None for all.
    """
    choice = choice or SectionChoice()
    steps = max(int(data["length"].max()) for data in parts.values())
    why: dict[str, Any] | None = None
    if not all(np.isfinite(array.values).all() for data in parts.values() for array in data.data_vars.values()):
        why = {"why": "broken"}
    elif steps > choice.max_steps:
        why = {"why": "long", "most": choice.max_steps}
    return SectionResults({section.name: _computed(section, subject, why) for _, section in choice.measures()})


def _computed(section: Section, subject: Subject, why: dict[str, Any] | None) -> Callable[..., dict[str, Any]]:
    if why is None:
        try:
            found = section.compute(subject)
            return lambda parts, row: section.payload(found, parts, row)
        except (UsageError, DataError) as error:
            why = {"why": "said", "text": str(error).splitlines()[0]}
    reason = why
    return lambda parts, row: reason
