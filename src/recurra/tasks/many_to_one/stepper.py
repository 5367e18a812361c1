"""Classification and regression step by step: the answer for the sequence so far, after any number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from recurra.errors import UsageError
from recurra.tasks.serving.layer import States, StepLayer, StepPooling, exact
from recurra.tasks.serving.names import column_names, output_names, target_names
from recurra.tasks.serving.series import LAST, SeriesSteps
from recurra.tasks.serving.service import InputError
from recurra.tasks.serving.stepper import Advanced, Stepper
from recurra.tasks.serving.text import TextSteps

from .labels.targets import label_answer
from .series.ensemble import one_network


def stepper(estimator: Any) -> Stepper:
    """Returns the stepper of a fitted classifier or regressor.

    Raises:
        UsageError: the model cannot run step by step.
    """
    if estimator.encoder_.kind == "series":
        return SeriesStepper(estimator)
    if estimator.encoder_.kind == "text":
        return TextStepper(estimator)
    raise UsageError(
        "a model of recordings cannot run step by step: its input is normalized over the whole recording. "
        "Train on numeric series of features that you compute step by step"
    )


class SequenceStepper(Stepper):
    """Base of the steppers of the many-to-one tasks: recurrent layer, pooling and head.

    Args:
        estimator: the fitted classifier or regressor.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator, self.network = estimator, one_network(estimator, "running step by step").eval()
        encoder = self.network.encoder
        self.layer = StepLayer(encoder.recurrent, estimator.device)
        self.pooling = StepPooling(self.network.pooling, encoder.output_size)
        self.specs = {**self.layer.specs, **self.pooling.specs}

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        return {**super().about(), "outputs": output_names(self.estimator)}

    def run(self, states: States, values: Tensor, lengths: Tensor) -> tuple[Tensor, States]:
        """Runs encoded steps; returns the pooled outputs `(sequences, units)` and the new states."""
        output, after = self.layer.run(states, values, lengths)
        pooled, more = self.pooling.run(states, output, after["hidden"], lengths)
        return pooled, {**after, **more}

    def outputs(self, pooled: Tensor) -> np.ndarray:
        """Returns the predictions of the estimator `(sequences, outputs)`; NaN where a score is not finite."""
        scores = self.network.head(pooled).float().numpy()
        found = self.estimator._answers(scores)
        if not np.isfinite(scores).all():  # softmax may hide an infinite score
            found[~np.isfinite(scores).all(1)] = np.nan
        return found

    def answer(self, output: np.ndarray, states: dict[str, Tensor]) -> dict[str, Any]:
        """See `Stepper.answer`."""
        if self.estimator.task == "regress":
            if (columns := target_names(self.estimator)) is not None:
                return {"value": dict(zip(columns, output.tolist(), strict=True))}
            return {"value": output.tolist() if self.estimator.several_ else output.item()}
        names = [str(label) for label in self.estimator.classes_]
        probabilities = output.astype(float).tolist()
        if self.estimator.label_sets_ is not None:
            return label_answer(names, probabilities, proba=True)
        best = max(range(len(names)), key=probabilities.__getitem__)
        answer = {"label": names[best], "probability": probabilities[best]}
        return {**answer, "probabilities": dict(zip(names, probabilities, strict=True))}


class SeriesStepper(SequenceStepper):
    """Steps of numeric series."""

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self.series = SeriesSteps(estimator.encoder_)
        self.specs.update(self.series.specs)
        self.parse, self.parse_binary = self.series.parse, self.series.parse_binary  # type: ignore[method-assign]

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        names = column_names(self.estimator)
        return {
            **super().about(),
            "step": {"features": self.series.features, **({} if names is None else {"names": names})},
        }

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[np.ndarray]) -> Advanced:
        """See `Stepper.advance`."""
        with exact():
            values, lengths, last = self.series.encode(states[LAST], items)
            pooled, after = self.run(states, values, lengths)
            return Advanced({**after, LAST: last}, list(rests), self.outputs(pooled))


class TextStepper(SequenceStepper):
    """Pieces of texts."""

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self.text = TextSteps(estimator.encoder_)
        self.parse = self.text.parse  # type: ignore[method-assign]

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        return {**super().about(), "step": {"text": "a piece of the text"}}

    def parse_binary(self, data: np.ndarray) -> Any:
        """See `Stepper.parse_binary`."""
        raise InputError("the model takes texts, not numbers", ("inputs",))

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[str]) -> Advanced:
        """See `Stepper.advance`."""
        with exact():
            text, embed = self.text.encode(rests, items), self.network.encoder.embedding
            _, after = self.run(states, embed(text.committed[0]), text.committed[1])
            pooled, _ = self.run(after, embed(text.pending[0]), text.pending[1])
            found = self.outputs(pooled)
        found[list(text.errors)] = np.nan
        return Advanced(after, text.rests, found, text.errors)
