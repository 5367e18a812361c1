"""A translator and some texts, for the tools that look inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.pairs import PairBatches
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.inputs import Texts, as_sequences
from recurra.data.encoders.text import UNKNOWN_ID
from recurra.errors import DataError
from recurra.ops import reproducible_algebra
from recurra.tasks.finite import answers_of
from recurra.tasks.subject import Subject, unknown_notes

from .network import SPECIALS, shifted


def subject_of_texts(translator: Any, X: Any, y: Any = None) -> Subject:
    """The subject of a fitted `Translator`: the decoder reads the true translations, or the best ones that it finds.

    Raises:
        DataError: a text is empty, or the two sides do not pair up.
    """
    sources = _texts(X, "X", "translate")
    encoder, target_encoder = translator.source_encoder_, translator.target_encoder_
    store = SequenceStore.build([encoder.encode(sources)])
    rows = np.arange(len(sources))
    batch: Any = translator._whole(PairBatches(store, rows, store, {}, batch_size=len(rows)))
    network: Any = translator.network_.to(batch.values.device).eval()
    with torch.inference_mode(), reproducible_algebra():
        judge, nothing = translator._evaluation_objective(), [list[int]() for _ in sources]
        best = answers_of(
            lambda: [found[0].tokens for found in judge.hypotheses(network, batch.values, batch.lengths)], nothing
        )
    read, written = best, [target_encoder.pieces(tokens) for tokens in best]
    if y is not None:
        targets = _texts(y, "y", "compare with")
        if len(targets) != len(sources):
            raise DataError(f"X has {len(sources):,} texts but y has {len(targets):,}; they must pair up")
        read, written = target_encoder.encode(targets), target_encoder.shown(targets)
    answers = SequenceStore.build([[np.array(tokens, np.int32) for tokens in read]])
    batch = translator._whole(PairBatches(store, rows, answers, {}, batch_size=len(rows)))

    def forward(batch: Any) -> Tensor:
        """Log-probability of each token of the translations and of their ends, `(batch, time + 1)`; 0 if unknown."""
        scores, true = network(batch.values, batch.lengths, batch.targets, batch.target_lengths)
        counts = _counts(batch)
        found = scores.new_zeros(counts.shape)
        found[counts] = -cross_entropy(scores, true, reduction="none")
        return found

    steps = encoder.shown(sources)
    return Subject(
        network,
        batch,
        forward,
        lambda found: found.sum(1),
        "log-probability of the translation (nats)",
        None if y is None else lambda batch: (-forward(batch).sum(), _counts(batch).sum()),
        steps,
        {"decoder": [[SPECIALS[0], *pieces] for pieces in written]},
        answers=[target_encoder.decode(tokens) for tokens in best],
        notes=unknown_notes(batch.values, batch.lengths, steps),
        title=translator.title,
        words=encoder.word_numbers(sources),
    )


def _texts(given: Any, name: str, what: str) -> list[str]:
    sequences = as_sequences(given)
    if not isinstance(sequences, Texts):
        raise DataError(f"the model translates texts, {name} holds numbers")
    texts = [text.strip() for chunk in sequences.chunks() for text in chunk]
    if "" in texts:
        raise DataError(f"{name}[{texts.index('')}] is empty: there is nothing to {what}", texts.index(""))
    return texts


def _counts(batch: Any) -> Tensor:
    """Returns the mask of decoder steps whose true token is known, `(batch, time + 1)`."""
    expected = shifted(batch.targets, batch.target_lengths)[1]
    return (expected != IGNORE) & (expected != UNKNOWN_ID)
