"""Some inputs of a model, ready for the tools that look inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Subject:
    """A network and one batch of inputs for it.

    Attributes:
        network: the network, in evaluation mode.
        batch: a named tuple with at least `values` and `lengths`, in the order of the inputs.
        forward: runs the network on a batch like it; returns what `score` takes.
        score: what the model's answer rests on, one number per sequence `(batch,)`, from what `forward` returned; in it
            gradients say which inputs mattered.
        score_name: what the score is, in words and with its unit.
        loss: sum of the losses of a batch like it and what to divide it by; None where the targets are not known.
        steps: the text of each time step of each sequence; None for numbers.
        features: names of the features of a step; None where nobody named them.
        answers: what the model says of each sequence, in words; None where there is nothing to say.
        seconds: duration of a time step of the recurrent layers, where steps are pieces of sound.
        title: what the inputs are, for people.
        words: for texts: which word of its text, as it is written between spaces, each time step belongs to.
    """

    network: torch.nn.Module
    batch: Any
    forward: Callable[[Any], Any]
    score: Callable[[Any], Tensor]
    score_name: str = "score"
    loss: Callable[[Any], tuple[Tensor, Tensor]] | None = None
    steps: list[list[str]] | None = None
    features: list[str] | None = None
    answers: list[str] | None = None
    seconds: float | None = None
    title: str = ""
    words: list[list[int]] | None = None

    def scores(self, batch: Any = None) -> Tensor:
        """The score of each sequence, `(batch,)`, with gradients where they are on."""
        return self.score(self.forward(self.batch if batch is None else batch))
