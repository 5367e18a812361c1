"""A filler of blanks and some texts, for the tools that look inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import Batches
from recurra.data.batching.store import SequenceStore
from recurra.data.encoders.text import UNKNOWN_ID
from recurra.errors import DataError
from recurra.tasks.finite import answers_of
from recurra.tasks.subject import Subject, unknown_notes

from .search import lay_out


def subject_of_blanks(estimator: Any, X: Any) -> Subject:
    """The subject of a fitted `BlankFiller`: texts with the best words in their blanks.

    Raises:
        DataError: a text has no blank, too many, or nothing else.
    """
    texts = estimator._parse(X)
    if not texts:
        raise DataError("X is empty: there is nothing to look at")
    encoder, filler, objective = estimator.encoder_, estimator._filler(marks=False), estimator._objective()
    unknown = [[np.array([UNKNOWN_ID]) for _ in text.glued] for text in texts]
    words = answers_of(lambda: filler.best(texts), unknown)
    filled = [lay_out(text, best)[0].tokens for text, best in zip(texts, words, strict=True)]
    blanks = [lay_out(text, [len(word) for word in best])[0] for text, best in zip(texts, words, strict=True)]
    batch = estimator._whole(Batches(SequenceStore.build([filled]), batch_size=len(filled)))
    network: Any = estimator.network_.to(batch.values.device).eval()
    rows = torch.tensor([row for row, blank in enumerate(blanks) for _ in blank.open], device=batch.values.device)
    at = torch.tensor([step for blank in blanks for step in blank.open], device=batch.values.device)
    masks = filler.masks[torch.tensor([kind for blank in blanks for kind in blank.kinds])]
    chosen = batch.values[rows, at].long()

    def score(context: Tensor) -> Tensor:
        """Of the chosen tokens, each given all the others."""
        chances = (network.logits(context[rows, at]).float() + masks).log_softmax(1)
        found = chances.gather(1, chosen.unsqueeze(1)).squeeze(1)
        return found.new_zeros(len(texts)).index_add(0, rows, found)

    steps = []
    for text, best in zip(texts, words, strict=True):
        first, *others = text.shown(encoder)
        steps.append(first)
        for word, part in zip(best, others, strict=True):
            steps[-1] = [*steps[-1], *encoder.pieces(word.tolist()), *part]
    return Subject(
        network,
        batch,
        lambda batch: network(batch.values, batch.lengths),
        score,
        "log-probability of the words in the blanks, each given all others (nats)",
        lambda batch: objective.exact(network, batch),
        steps,
        {"backwards": [row[::-1] for row in steps]},
        answers=[
            text.put([encoder.decode(word.tolist()) for word in best]) for text, best in zip(texts, words, strict=True)
        ],
        notes=unknown_notes(batch.values, batch.lengths, steps),
        title=estimator.title,
    )
