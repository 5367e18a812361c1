"""Service of language models: the most probable next tokens of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from recurra.data.columns.inputs import Texts
from recurra.tasks.params import MAX_TOP
from recurra.tasks.serving.service import InputError, Options, Path, TextService, text_of
from recurra.tasks.serving.stepper import Stepper
from recurra.tasks.serving.values import described
from recurra.tasks.subject import Subject

from .stepper import LanguageStepper, answer_of


class Prompt(NamedTuple):
    """A text to continue, and its label in models that were trained with labels."""

    text: str
    condition: str | None = None


class GenerateOptions(Options, frozen=True, kw_only=True):
    """Options of the next tokens.

    Attributes:
        top: number of most probable tokens.
    """

    top: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOP)] = 5


class GenerateService(TextService):
    """Service of a language model."""

    Options = GenerateOptions

    @property
    def labels(self) -> list[str]:
        """The labels that the model knows."""
        return self.estimator.classes_.tolist()

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        text = super().input_schema()
        properties: dict[str, Any] = {"text": text}
        if self.labels:
            properties["condition"] = {"enum": [*self.labels, None]}
        labelled = {"type": "object", "properties": properties, "required": ["text"], "additionalProperties": False}
        return {"anyOf": [text, labelled]}

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        encoder = self.estimator.encoder_
        return {"tokens": encoder.tokens, "vocabulary": encoder.input_size, "labels": self.labels}

    def item(self, value: Any, path: Path) -> Prompt:
        """See `Service.item`."""
        if not isinstance(value, dict):
            return Prompt(text_of(value, path, self.max_steps))
        unknown = [key for key in value if key not in ("text", "condition")]
        if unknown or "text" not in value:
            problem = f"has the unknown key {unknown[0]!r:.40}" if unknown else 'has no "text"'
            raise InputError(f'the input {problem}; its keys are "text" and "condition"', path)
        text, condition = text_of(value["text"], (*path, "text"), self.max_steps), value.get("condition")
        if condition is not None and condition not in self.labels:
            known = f"is one of {', '.join(self.labels[:20])}" if self.labels else "is not known to this model"
            raise InputError(f"the condition {known}, not {described(condition)}", (*path, "condition"))
        return Prompt(text, condition)

    def steps(self, item: Prompt) -> int:
        """See `Service.steps`."""
        return len(item.text)

    def subject(self, item: Prompt) -> Subject:
        """See `Service.subject`."""
        labels = np.array([item.condition], dtype=object) if self.labels else None
        return self.estimator.subject(Texts([item.text]), labels)

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        labels = None
        if any(item.condition is not None for item in items):
            labels = np.array([item.condition for item in items], dtype=object)
        found = self.estimator.top(Texts([item.text for item in items]), labels, k=options.top)
        return [answer_of(best, options.top) for best in found]

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        return LanguageStepper(self.estimator)
