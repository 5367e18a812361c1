"""A model and some inputs, the argument of the inspection tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recurra._util.messages import listed
from recurra.data.encoders.text import UNKNOWN_ID

UNKNOWN_NAMED = 10  # of unknown tokens in a note


@dataclass(frozen=True)
class Subject:
    """A network and one batch of inputs for it.

    Attributes:
        network: the network, in evaluation mode.
        batch: a named tuple with at least `values` and `lengths`, in the order of the inputs.
        forward: runs the network on a batch like it; returns what `score` takes.
        score: computes the score that is explained, one number per sequence `(batch,)`, from what `forward` returned;
            its gradients say which inputs mattered.
        score_name: what the score is, in words and with its unit.
        loss: sum of the losses of a batch like it and what to divide it by; None where the targets are not known.
        steps: the text of each time step of each sequence; None for numbers.
        layer_steps: the same for recurrent layers whose steps are others, such as the decoder's of a translator, by
            their names in `Trace.parts`; use `steps_of`.
        features: names of the features of a step; None if they have no names.
        answers: what the model says of each sequence, in words; None where there is nothing to say.
        seconds: duration of a time step of the recurrent layers, where steps are pieces of sound.
        notes: remarks on the inputs for the user, for example words that the model does not know.
        title: what the inputs are, for people.
        any_length: whether steps of the inputs can be left out of a batch: what `score` and `loss` ask is of the whole
            sequence, and of no place in it.
        words: for texts: which word of its text, as it is written between spaces, each time step belongs to.

    Example:
        >>> import torch
        >>> from recurra.inspect import subject_of
        >>> subject = subject_of(torch.nn.GRU(2, 4, batch_first=True), torch.randn(3, 9, 2))
        >>> subject.scores().shape, subject.loss is None
        (torch.Size([3]), True)
    """

    network: torch.nn.Module
    batch: Any
    forward: Callable[[Any], Any]
    score: Callable[[Any], Tensor]
    score_name: str = "score"
    loss: Callable[[Any], tuple[Tensor, Tensor]] | None = None
    steps: list[list[str]] | None = None
    layer_steps: Mapping[str, list[list[str]]] = field(default_factory=dict)
    features: list[str] | None = None
    answers: list[str] | None = None
    seconds: float | None = None
    notes: list[str] = field(default_factory=list)
    title: str = ""
    any_length: bool = False
    words: list[list[int]] | None = None

    def scores(self, batch: Any = None) -> Tensor:
        """The score of each sequence, `(batch,)`, with gradients where they are on."""
        return self.score(self.forward(self.batch if batch is None else batch))

    def steps_of(self, part: str, lengths: Sequence[int]) -> list[list[str]] | None:
        """The text of each step of a recurrent layer, by its name in `Trace.parts`; None where it is not known.

        Args:
            part: the layer.
            lengths: its steps for each sequence `(batch,)`; texts that are not of these lengths are not its.
        """
        texts = self.layer_steps.get(part, self.steps)
        return texts if texts is not None and [len(row) for row in texts] == list(lengths) else None


def unknown_notes(values: Tensor, lengths: Tensor, steps: Sequence[Sequence[str]]) -> list[str]:
    """Says which tokens `(batch, time)` the model does not know, in the words of their steps."""
    rows = [row[:n] == UNKNOWN_ID for row, n in zip(values.cpu(), lengths.tolist(), strict=True)]
    unknown = {steps[row][at]: None for row, found in enumerate(rows) for at in found.nonzero().flatten().tolist()}
    if not unknown:
        return []
    names = listed([repr(token[:60]) + "…" * (len(token) > 60) for token in unknown], UNKNOWN_NAMED)
    nothing = [str(row) for row, found in enumerate(rows, 1) if len(found) and bool(found.all())]
    of_all = f"; it knows nothing of text {listed(nothing, UNKNOWN_NAMED)}" if nothing else ""
    return [f"the model does not know {names}: read as unknown tokens{of_all}"]
