"""Service of taggers: a tag for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recurra.tasks.serving.service import InputError, Path, Service, text_of, text_schema
from recurra.tasks.serving.stepper import Stepper
from recurra.tasks.serving.values import described

from .stepper import TagStepper


class TagService(Service):
    """Service of a tagger. With `proba` an answer also has the probability of each tag."""

    unit = "words"

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        text = text_schema(self.max_steps)
        return {"anyOf": [text, {"type": "array", "items": text, "maxItems": self.max_steps}]}

    def example(self) -> Any:
        """See `Service.example`."""
        return ["A", "sentence"]

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        return {"classes": self.estimator.classes_.tolist(), "scheme": self.estimator.scheme_}

    def item(self, value: Any, path: Path) -> list[str]:
        """See `Service.item`."""
        if isinstance(value, str):
            if len(value) > self.max_steps:
                raise InputError(f"the text has {len(value):,} characters; at most {self.max_steps:,} are read", path)
            return value.split()
        if not isinstance(value, list):
            raise InputError(f"a sentence is a text or a list of words, not {described(value)}", path)
        if len(value) > self.max_steps:
            raise self._too_long(len(value), path)
        return [self._word(word, (*path, place)) for place, word in enumerate(value)]

    def _word(self, value: Any, path: Path) -> str:
        if not isinstance(value, str):
            raise InputError(f"a word is a text, not {described(value)}", path)
        return text_of(value, path, self.max_steps)

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        if not options.proba:
            tags = self.estimator.predict(items)
            return [{"words": words, "tags": found} for words, found in zip(items, tags, strict=True)]
        return [
            {"words": words, "tags": tags, "confidence": sure}
            for words, tags, sure in zip(items, *self.estimator.predict_with_confidence(items), strict=True)
        ]

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        return TagStepper(self.estimator)
