"""Tagging step by step: the tag of the newest word or step, given those so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.words import WordBatch
from recurra.nn import LinearChainCRF
from recurra.tasks.serving.layer import States, StepLayer, exact
from recurra.tasks.serving.names import column_names
from recurra.tasks.serving.series import LAST, SeriesSteps
from recurra.tasks.serving.service import InputError
from recurra.tasks.serving.stepper import Advanced, StateSpec, Stepper
from recurra.tasks.serving.text import padded

from .reader import refuse_reader


class BaseStepper(Stepper):
    """Base of the steppers of taggers: recurrent layer, head and chain.

    Earlier steps keep the tags that they had when they were the newest one, because the answer is about the newest
    step only. The outputs are the probabilities of its tags; zeros before the first step.

    Args:
        estimator: the fitted `SequenceTagger`.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator, self.network = estimator, estimator.network_.eval()
        self.layer = StepLayer(self.network.recurrent, estimator.device)
        self.chain = StepChain(self.network.chain)
        self.tags: list[str] = estimator.classes_.tolist()
        self.specs = {**self.layer.specs, **self.chain.specs}

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        return {**super().about(), "outputs": self.tags}

    def run(self, states: States, vectors: Tensor, lengths: Tensor) -> tuple[States, np.ndarray]:
        """Runs the vectors of new steps `(sequences, time, features)`; returns the new states and the outputs."""
        network = self.network
        output, after = self.layer.run(states, vectors, lengths)
        last = network.head(after["hidden"][:, -1])
        chances, more = self.chain.run(states, network.head(output), last, lengths)
        found = chances.numpy()
        found[~torch.isfinite(last).all(1).numpy()] = np.nan  # softmax may hide an infinite score
        return {**after, **more}, found

    def answer(self, output: np.ndarray, states: dict[str, Tensor]) -> dict[str, Any]:
        """See `Stepper.answer`."""
        tag = int(states["chain.tag"])
        if tag < 0:
            return {"tag": None, "confidence": None}
        return {"tag": self.tags[tag], "confidence": float(output[tag])}


class TagStepper(BaseStepper):
    """Steps of a tagger of sentences; a step is a word."""

    def __init__(self, estimator: Any) -> None:
        refuse_reader(estimator, "run step by step")
        super().__init__(estimator)

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        return {**super().about(), "step": {"text": "a word"}}

    def parse(self, inputs: Any) -> list[str]:
        """Returns the words of a request."""
        if not isinstance(inputs, list):
            raise InputError("inputs must be a list of words", ("inputs",))
        for i, word in enumerate(inputs):
            if not isinstance(word, str):
                raise InputError(f"expected a word, got {type(word).__name__}", ("inputs", i))
        return inputs

    def parse_binary(self, data: np.ndarray) -> Any:
        """See `Stepper.parse_binary`."""
        raise InputError("the model takes words, not numbers", ("inputs",))

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[list[str]]) -> Advanced:
        """See `Stepper.advance`."""
        with exact():
            batch = self._batch(items)
            after, found = self.run(states, self.network.vectors(batch), batch.lengths)
        return Advanced(after, list(rests), found)

    def _batch(self, items: Sequence[list[str]]) -> WordBatch:
        """Returns words as a batch whose distinct words are read once."""
        places: dict[str, int] = {}
        values, lengths = padded([np.array([places.setdefault(w, len(places)) for w in row], int) for row in items])
        lexicon = self.estimator.encoder_.lexicon(places or [""])
        return lexicon.batch(values, lengths, None, torch.arange(len(items)))


class StepTagStepper(BaseStepper):
    """Steps of a tagger of numeric sequences."""

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self.series = SeriesSteps(estimator.encoder_)
        self.specs.update(self.series.specs)
        self.parse, self.parse_binary = self.series.parse, self.series.parse_binary  # type: ignore[method-assign]

    def about(self) -> dict[str, Any]:
        """See `Stepper.about`."""
        names = column_names(self.estimator)
        named = {} if names is None else {"names": names}
        return {**super().about(), "step": {"features": self.series.features, **named}}

    def advance(self, states: dict[str, Tensor], rests: Sequence[str], items: Sequence[np.ndarray]) -> Advanced:
        """See `Stepper.advance`."""
        with exact():
            values, lengths, last = self.series.encode(states[LAST], items)
            after, found = self.run(states, values, lengths)
        return Advanced({**after, LAST: last}, list(rests), found)


class StepChain:
    """A chain of tags whose last tag is updated by further words.

    Args:
        chain: the chain of the network.
    """

    def __init__(self, chain: LinearChainCRF) -> None:
        self.chain, tags = chain, len(chain.start)
        self.specs = {"chain.tag": StateSpec((), torch.int64, -1)}
        if chain.learnt or chain.constrained:
            self.specs["chain.best"] = StateSpec((tags,), torch.float64)
            self.specs["chain.forward"] = StateSpec((tags,), torch.float32)

    def run(self, states: States, scores: Tensor, last: Tensor, lengths: Tensor) -> tuple[Tensor, States]:
        """Reads the scores of new words.

        Args:
            states: states by name, `(sequences, …)`.
            scores: of each tag at each new word, `(sequences, time, tags)`.
            last: scores of the newest word, `(sequences, tags)`.
            lengths: new words of each sequence `(sequences,)`.

        Returns:
            Probabilities of the tags of the newest word `(sequences, tags)`, and the new states.
        """
        tag, any_word = states["chain.tag"], (states["chain.tag"] >= 0) | (lengths > 0)
        if "chain.best" not in self.specs:
            tag = torch.where(any_word, last.argmax(1), -1)
            return torch.softmax(last, 1) * any_word.unsqueeze(1), {"chain.tag": tag}
        pairs, start, end = self.chain.decoding
        best, forward, first = states["chain.best"], states["chain.forward"], (tag < 0).unsqueeze(1)
        for t in range(scores.shape[1]):  # as in `best_path` and `marginals`
            now, real = scores[:, t], (t < lengths).unsqueeze(1)
            above = (best.unsqueeze(2) + pairs.double()).max(1)[0] + now.double()
            best = torch.where(real, torch.where(first, start.double() + now.double(), above), best)
            after = torch.logsumexp(forward.unsqueeze(2) + pairs, 1) + now
            forward = torch.where(real, torch.where(first, start + now, after), forward)
            first = first & ~real
        tag = torch.where(any_word, (best + end.double()).argmax(1), -1)
        chances = torch.softmax(forward + end, 1) * any_word.unsqueeze(1)
        return chances, {"chain.tag": tag, "chain.best": best, "chain.forward": forward}
