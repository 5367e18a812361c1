"""Services of taggers: a tag for each word, or for each step of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.data.columns.inputs import Arrays
from recurra.tasks.serving.names import column_names
from recurra.tasks.serving.series import series_example, series_of, series_schema
from recurra.tasks.serving.service import InputError, Path, Service, text_of, text_schema
from recurra.tasks.serving.stepper import Stepper
from recurra.tasks.serving.values import described
from recurra.tasks.subject import Subject

from .stepper import StepTagStepper, TagStepper


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


class StepService(Service):
    """Service of a tagger of numeric sequences. With `proba` an answer also has the probability of each tag."""

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        return series_schema(self.estimator.encoder_.features, self.max_steps)

    def example(self) -> Any:
        """See `Service.example`."""
        return [series_example(self.estimator.encoder_)] * 3

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        encoder = self.estimator.encoder_
        return {
            "kind": encoder.kind,
            "classes": self.estimator.classes_.tolist(),
            "features": encoder.features,
            "feature_names": column_names(self.estimator),
            "mean": encoder.mean.tolist(),
            "scale": encoder.scale.tolist(),
        }

    def item(self, value: Any, path: Path) -> np.ndarray:
        """See `Service.item`."""
        if isinstance(value, list) and len(value) > self.max_steps:
            raise self._too_long(len(value), path)
        return series_of(value, self.estimator.encoder_, path)

    def subject(self, item: Any) -> Subject:
        """See `Service.subject`."""
        return self.estimator.subject(self._sequences([item]))

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        sequences = self._sequences(items)
        if not options.proba:
            return [{"tags": tags} for tags in self.estimator.predict(sequences)]
        found = zip(*self.estimator.predict_with_confidence(sequences), strict=True)
        return [{"tags": tags, "confidence": sure} for tags, sure in found]

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        return StepTagStepper(self.estimator)

    def _sequences(self, items: Sequence[Any]) -> Arrays:
        return Arrays(items, self.estimator.encoder_.features)
