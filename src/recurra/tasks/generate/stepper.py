"""Language models step by step: the most probable next tokens of a text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.encoders.running_text import BEGIN_ID
from recurra.tasks.serving.layer import StepLayer, exact
from recurra.tasks.serving.service import InputError
from recurra.tasks.serving.stepper import Advanced, StateSpec, Stepper
from recurra.tasks.serving.text import TextSteps

from .network import LanguageNetwork, most_probable

TOP = 5
"""Tokens of an answer."""


class LanguageStepper(Stepper):
    """Steps of a language model. The outputs are the probabilities of all tokens.

    Args:
        estimator: the fitted `LanguageModel`.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator, self.network = estimator, estimator.network_.eval()
        self.layer, self.text = StepLayer(self.network.recurrent, estimator.device), TextSteps(estimator.encoder_)
        self.parse = self.text.parse  # type: ignore[method-assign]
        self.labels: list[str] = estimator.classes_.tolist()
        self.specs = {**self.layer.specs, **({"label": StateSpec((), torch.int64)} if self.labels else {})}
        self._words = estimator.encoder_.words
        with exact():  # every sequence begins with the begin token
            count = 1 + len(self.labels)
            fresh = {**super().start(count), "label": torch.arange(count)}
            begin = torch.full((count, 1), BEGIN_ID)
            _, self._begun = self.layer.run(fresh, self._embed(fresh, begin), torch.ones(count, dtype=torch.long))

    def start(self, count: int, **options: Any) -> dict[str, Tensor]:
        """Returns the states of new sequences; the option `condition` is a label that the model was trained with."""
        condition = options.pop("condition", None)
        if condition is not None and condition not in self.labels:
            raise InputError(f"the label {condition!r:.40} was not in the training data", ("condition",))
        number = 0 if condition is None else 1 + self.labels.index(condition)
        states = super().start(count, **options)
        for name, begun in self._begun.items():
            states[name][:] = begun[number]
        if self.labels:
            states["label"][:] = number
        return states

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        options = {"condition": self.labels} if self.labels else {}
        names = [word.decode("utf-8", "replace") for word in self._words]
        return {**super().about(), "outputs": names, "step": {"text": "a piece of the text"}, "options": options}

    def parse_binary(self, data: np.ndarray) -> Any:
        """See `Stepper.parse_binary`."""
        raise InputError("the model takes texts, not numbers", ("inputs",))

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[str]) -> Advanced:
        """See `Stepper.advance`."""
        network: LanguageNetwork = self.network
        with exact():
            text = self.text.encode(rests, items)
            after = self._run(states, *text.committed)
            last = self._run({**states, **after}, *text.pending)["hidden"][:, -1]
            logits = network.score(network._finish(last)).float()
            found = self.estimator._chances(logits).numpy()
            found[~torch.isfinite(logits).all(1).numpy()] = np.nan  # softmax may hide an infinite score
        found[list(text.errors)] = np.nan
        kept = {name: states[name] for name in self.specs}
        return Advanced({**kept, **after}, text.rests, found, text.errors)

    def answer(self, output: np.ndarray, states: dict[str, Tensor]) -> dict[str, Any]:
        """See `Stepper.answer`."""
        return answer_of(most_probable(self._words, output, TOP), TOP)

    def _run(self, states: dict[str, Tensor], tokens: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return self.layer.run(states, self._embed(states, tokens), lengths)[1]

    def _embed(self, states: dict[str, Tensor], tokens: Tensor) -> Tensor:
        """Returns the input of the recurrent layer `(sequences, time, features)`."""
        if self.labels:
            tokens = torch.stack([tokens, states["label"].unsqueeze(1).expand_as(tokens)], 2)
        return self.network._embed(tokens)  # type: ignore[no-any-return]


def answer_of(best: list[tuple[str, float]], top: int) -> dict[str, Any]:
    """Returns the best token first. Every answer has the same keys; those after the first are numbered."""
    answer: dict[str, Any] = {}
    for place in range(1, top + 1):
        token, probability = best[place - 1] if place <= len(best) else (None, None)
        number = f" {place}" if place > 1 else ""
        answer[f"next{number}"] = token
        answer[f"probability{number}"] = probability
    return answer
