"""Batches of recordings with their texts, the network, its loss and its metrics."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.data import TextEncoder
from recurra.data.batching.batches import Batches
from recurra.data.files.audio import needed
from recurra.nn import SequenceEncoder, SpectrumMask, stack_frames
from recurra.ops import Linear
from recurra.ops import dropout as drop
from recurra.training.own import OwnMetrics

from .decode import beam_search, greedy

BLANK, BLANK_ID = "[BLANK]", 1  # after the unknown token


class SpokenBatch(NamedTuple):
    """Spectra `(batch, time, bands)` with their texts, also as token numbers `(batch, tokens)` with their lengths."""

    values: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    texts: list[str]


class SpokenBatches(Batches):
    """Batches of recordings and what is said in them; `texts` holds one text for each row of the store."""

    texts: Sequence[str] = ()

    def _batch(self, rows: np.ndarray) -> Any:
        found = super()._batch(rows)
        texts = [self.texts[int(row)] for row in rows]
        return SpokenBatch(found.values, found.lengths, found.targets, found.target_lengths, texts)  # type: ignore[arg-type]


class TranscribingNetwork(torch.nn.Module):
    """Spectra to the probability of each token at each step: masks, frame stacking, recurrent layers, linear head.

    Args:
        bands: of the spectra.
        tokens: number of different tokens, the blank among them.
        frames: spectra that make one step of the recurrent layers.
        dropout: probability of dropping a feature between layers and before the head, in training.
        **encoder: further arguments of `recurra.nn.SequenceEncoder`.
    """

    def __init__(self, bands: int, tokens: int, *, frames: int, dropout: float, **encoder: Any) -> None:
        super().__init__()
        self.frames, self.dropout = frames, dropout
        self.mask = SpectrumMask()
        self.encoder = SequenceEncoder(bands * frames, 0, dropout=dropout, **encoder)
        self.head = Linear(self.encoder.output_size, tokens)

    def forward(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities `(batch, steps, tokens)` and the number of steps of each recording `(batch,)`."""
        output, lengths = self.states(values, lengths)
        output = drop(output, self.dropout, training=self.training)
        return self.head(output).float().log_softmax(-1), lengths

    def states(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """States of the top layer `(batch, steps, size)` and the number of steps of each recording `(batch,)`."""
        values, lengths = stack_frames(self.mask(values, lengths), lengths, self.frames)
        return self.encoder(values, lengths)[0], lengths


class CTCObjective:
    """CTC loss; character and word error rates.

    Args:
        encoder: of the texts.
        beam: see `Transcriber`.
        length_bonus: see `Transcriber`.
        own: further metrics of the texts.
    """

    monitor = "cer"
    monitor_mode = "min"
    perfect: float | None = 0.0

    def __init__(self, encoder: TextEncoder, beam: int, length_bonus: float, own: OwnMetrics | None = None) -> None:
        self.encoder, self.beam, self.length_bonus, self.own = encoder, beam, length_bonus, own

    def loss(self, network: torch.nn.Module, batch: SpokenBatch) -> tuple[Tensor, Tensor]:
        """Sum of the negative log-probabilities of the texts, and the number of their tokens."""
        log_probs, steps = network(batch.values, batch.lengths)
        losses = ctc_losses(log_probs, steps, batch.targets, batch.target_lengths)
        return losses.sum(), self.weight(batch)

    def weight(self, batch: SpokenBatch) -> Tensor:
        """Number of the tokens of the texts."""
        return batch.target_lengths.sum().clamp(min=1).float()

    def observe(self, network: torch.nn.Module, batch: SpokenBatch) -> list[tuple[str, str, float, int]]:
        """Text, transcription, loss and number of tokens of each recording."""
        log_probs, steps = network(batch.values, batch.lengths)
        losses = ctc_losses(log_probs, steps, batch.targets, batch.target_lengths)
        found = [self.encoder.decode(ids) for ids in self.decode(log_probs, steps)]
        return list(zip(batch.texts, found, losses.tolist(), batch.target_lengths.tolist(), strict=True))

    def decode(self, log_probs: Tensor, steps: Tensor) -> list[list[int]]:
        """Token numbers of each recording of a batch, without blanks."""
        rows = zip(log_probs.float().cpu().numpy(), steps.tolist(), strict=True)
        if self.beam == 1:
            return [greedy(row[:n], BLANK_ID) for row, n in rows]
        return [beam_search(row[:n], BLANK_ID, self.beam, length_bonus=self.length_bonus) for row, n in rows]

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Error rates (edits over the length of all texts), share of texts without an error, mean loss of a token.

        A text that is too long for its recording has an infinite loss and counts in the error rates alone. A loss of
        NaN is passed on.
        """
        distance = needed("rapidfuzz.distance.Levenshtein").distance
        rows = [row for batch in observed for row in batch]
        pairs = [(as_read(text), as_read(found)) for text, found, _, _ in rows]
        letters = sum(len(text) for text, _ in pairs)
        words = sum(len(text.split()) for text, _ in pairs)
        spelled = [(loss, tokens) for _, _, loss, tokens in rows if not np.isposinf(loss)]
        metrics = {
            "cer": sum(distance(*pair) for pair in pairs) / max(letters, 1),
            "wer": sum(distance(text.split(), found.split()) for text, found in pairs) / max(words, 1),
            "exact": sum(text == found for text, found in pairs) / len(pairs),
            "loss": sum(loss for loss, _ in spelled) / max(sum(tokens for _, tokens in spelled), 1),
        }
        return self.own.beside(metrics, [row[0] for row in rows], [row[1] for row in rows]) if self.own else metrics

    def items(self, observed: list[Any]) -> np.ndarray:
        """Edits and letters of each recording, `(recordings, 2)`."""
        distance = needed("rapidfuzz.distance.Levenshtein").distance
        pairs = [(as_read(text), as_read(found)) for batch in observed for text, found, _, _ in batch]
        return np.array([[distance(*pair), len(pair[0])] for pair in pairs])


def ctc_losses(log_probs: Tensor, steps: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Negative log-probability of each row's tokens, `(batch,)`; infinite where the steps are too few."""
    if not log_probs.shape[1]:
        return log_probs.sum((1, 2)) + torch.where(target_lengths == 0, 0.0, torch.inf).to(log_probs)
    return torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1), targets.clamp(min=0), steps, target_lengths, blank=BLANK_ID, reduction="none"
    )


def as_read(text: str) -> str:
    """A text as the error rates compare it: composed characters (NFC), single spaces.

    Example:
        >>> as_read(" two  words ")
        'two words'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
