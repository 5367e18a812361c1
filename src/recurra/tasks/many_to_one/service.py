"""Services of classification and regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from recurra.data.columns.inputs import Arrays, Texts
from recurra.data.files.audio import Recordings
from recurra.tasks.serving.names import column_names, target_names
from recurra.tasks.serving.series import series_example, series_of, series_schema
from recurra.tasks.serving.service import Options, Path, Service, text_of, text_schema
from recurra.tasks.serving.sounds import sound_example, sound_of, sound_schema, sound_steps
from recurra.tasks.serving.stepper import Stepper
from recurra.tasks.subject import Subject

from .labels.targets import label_answer
from .stepper import stepper


class PooledOptions(Options, frozen=True, kw_only=True):
    """Options of a classification or regression.

    Attributes:
        coverage: share of the sequences whose set of classes, or interval, should hold the true answer; None for
            answers without sets and intervals.
    """

    coverage: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None


class PooledService(Service):
    """What the services of both tasks share: texts, series and recordings."""

    Options = PooledOptions

    def __init__(self, estimator: Any, **limits: Any) -> None:
        super().__init__(estimator, **limits)
        self.kind: str = estimator.encoder_.kind
        self.unit = "characters" if self.kind == "text" else "steps"

    @property
    def features(self) -> int:
        """Number of features of a step of a series."""
        return self.estimator.encoder_.features

    def input_schema(self) -> dict[str, Any]:
        """See `Service.input_schema`."""
        if self.kind == "text":
            return text_schema(self.max_steps)
        if self.kind == "audio":
            return sound_schema()
        return series_schema(self.features, self.max_steps)

    def example(self) -> Any:
        """See `Service.example`."""
        if self.kind == "text":
            return "a text"
        if self.kind == "audio":
            return sound_example(self.estimator.encoder_.rate)
        mean = series_example(self.estimator.encoder_)
        known = self.estimator.provenance_
        items = known.feature_columns is not None and known.id_column is None  # rows of a table, of one step each
        return [mean] if items else [mean, mean, mean]

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        encoder = self.estimator.encoder_
        found: dict[str, Any] = {"kind": self.kind}
        if self.kind == "text":
            found |= {"tokens": encoder.tokens, "vocabulary": encoder.input_size}
        elif self.kind == "series":
            found |= {"features": self.features, "feature_names": column_names(self.estimator)}
            found |= {"mean": encoder.mean.tolist(), "scale": encoder.scale.tolist()}
        else:
            found["sample_rate"] = encoder.rate
        return found

    def item(self, value: Any, path: Path) -> Any:
        """See `Service.item`."""
        if self.kind == "text":
            return text_of(value, path, self.max_steps)
        if self.kind == "audio":
            return sound_of(value, path, self.max_steps)
        if isinstance(value, list) and len(value) > self.max_steps:
            raise self._too_long(len(value), path)
        return series_of(value, self.estimator.encoder_, path)

    def steps(self, item: Any) -> int:
        """See `Service.steps`."""
        return sound_steps(item) if self.kind == "audio" else len(item)

    def subject(self, item: Any) -> Subject:
        """See `Service.subject`."""
        return self.estimator.subject(self.sequences([item]))

    def stepper(self) -> Stepper:
        """See `Service.stepper`."""
        return stepper(self.estimator)

    def sequences(self, items: Any) -> Any:
        """Returns parsed inputs as sequences for `predict`; sequences that the command line has read do not change."""
        if not isinstance(items, list):
            return items
        if self.kind == "series":
            return Arrays(items, self.features)
        return Texts(items) if self.kind == "text" else Recordings(items)


class ClassifyService(PooledService):
    """Service of a classifier: the most probable class, and with `proba` the probabilities of all."""

    def __init__(self, estimator: Any, **limits: Any) -> None:
        super().__init__(estimator, **limits)
        self.names = [str(label) for label in estimator.classes_]

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        several = {} if self.estimator.label_sets_ is None else {"several_labels": True}
        return {**super().about(), "classes": self.names, **several}

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        raw = self.estimator.predict_proba(self.sequences(items))
        if self.estimator.label_sets_ is not None:
            return self._answers_of_labels(raw, options)
        chances = raw.astype(float)
        sets = self._sets(raw, options.coverage)
        found = []
        for i, (best, row) in enumerate(zip(chances.argmax(1).tolist(), chances.tolist(), strict=True)):
            answer: dict[str, Any] = {"label": self.names[best], "probability": row[best]}
            if sets is not None:
                answer["set"] = [str(label) for label in sets[i]]
            if options.proba:
                answer["probabilities"] = dict(zip(self.names, row, strict=True))
            found.append(answer)
        return found

    def _answers_of_labels(self, raw: np.ndarray, options: Any) -> list[dict[str, Any]]:
        """Returns the answers of a model of several labels, for probabilities `(batch, labels)`."""
        found = [label_answer(self.names, row, options.proba) for row in raw.astype(float).tolist()]
        for answer, labels in zip(found, self._sets(raw, options.coverage) or (), strict=False):
            answer["set"] = [str(label) for label in labels]
        return found

    def _sets(self, chances: np.ndarray, coverage: float | None) -> list[np.ndarray] | None:
        if coverage is None:
            return None
        return self.estimator.sets_of(chances, self.estimator.calibration().limits(coverage))


class RegressService(PooledService):
    """Service of a regressor: a number; for several targets a list of numbers, or an object if they have names."""

    def about(self) -> dict[str, Any]:
        """See `Service.about`."""
        targets, names = len(self.estimator.target_mean_), target_names(self.estimator)
        found = {**super().about(), "targets": targets, "target_name": self.estimator.provenance_.target_column}
        return found if names is None else {**found, "target_names": names}

    def answers(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """See `Service.answers`."""
        values = self.estimator.predict(self.sequences(items))
        names = target_names(self.estimator)
        answers: list[dict[str, Any]] = [{"value": value} for value in values.tolist()]
        if options.coverage is not None:
            limits = self.estimator.calibration().limits(options.coverage)
            ends = self.estimator.intervals_of(values, limits)
            shown: Any = np.where(np.isfinite(ends), ends, None)  # JSON has no infinite numbers
            for answer, lower, upper in zip(answers, shown[..., 0].tolist(), shown[..., 1].tolist(), strict=True):
                answer |= {"lower": lower, "upper": upper}
        if names is None:
            return answers
        return [{key: dict(zip(names, row, strict=True)) for key, row in answer.items()} for answer in answers]
