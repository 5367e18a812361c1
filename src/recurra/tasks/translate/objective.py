"""Loss and metrics of translation."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.data import TextEncoder
from recurra.data.batching.pairs import PairBatch
from recurra.training.own import OwnMetrics, own_losses

from .metrics import corpus_metrics
from .network import EncoderDecoder, is_known, shifted
from .search import Hypothesis, beam_search

MAX_SLOPE = 1000.0


class Limit(NamedTuple):
    """Longest translation: `least + slope * source tokens`, learnt from the training pairs."""

    least: int
    slope: float

    @classmethod
    def of(cls, sources: Any, targets: Any) -> Limit:
        """From the numbers of tokens of the training pairs: twice the usual length, and 10 more."""
        return cls(10, min(2 * float(sum(targets)) / max(float(sum(sources)), 1.0), MAX_SLOPE))

    def __call__(self, lengths: Tensor) -> Tensor:
        """For source lengths `(batch,)`."""
        return (self.least + self.slope * lengths).long()


class Translating:
    """Cross entropy with label smoothing in training; perplexity, BLEU and chrF on labelled data.

    Args:
        encoder: of the target side.
        limit: how long a translation may be.
        smoothing: share of the probability that the loss spreads over all tokens.
        beams: of the search; 1 for greedy decoding.
        length_penalty: of the search.
        bleu_tokens: how BLEU cuts texts.
        loss: function of a user for the loss of each token; anything else keeps the loss.
        own: further metrics of the translations, with the references of each.
    """

    monitor = "bleu"  # chrF praises a lone full stop, which is what an untrained decoder says; BLEU gives it nothing
    monitor_mode = "max"
    perfect: float | None = 100.0

    def __init__(
        self,
        encoder: TextEncoder,
        limit: Limit,
        *,
        smoothing: float,
        beams: int,
        length_penalty: float,
        bleu_tokens: str,
        loss: Any = None,
        own: OwnMetrics | None = None,
    ) -> None:
        self.function, self.own = loss if callable(loss) else None, own
        self.encoder, self.limit, self.smoothing, self.bleu_tokens = encoder, limit, smoothing, bleu_tokens
        self.search = {"beams": beams, "length_penalty": length_penalty}

    def loss(self, network: torch.nn.Module, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Sum over the tokens of a batch, and their number."""
        return self._cross_entropy(network, batch, self.smoothing)

    def weight(self, batch: PairBatch) -> Tensor:
        """Number of the known tokens of the translations, with their ends."""
        return is_known(shifted(batch.targets, batch.target_lengths)[1]).sum().float()

    def hypotheses(self, network: EncoderDecoder, values: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Translations of source tokens `(batch, time)`, the best first."""
        return beam_search(network, values, lengths, self.limit(lengths), **self.search)

    def observe(self, network: Any, batch: PairBatch) -> tuple[float, int, list[str], list[list[str]]]:
        """Loss and number of tokens, and for each distinct source its translation and the references."""
        total, count = self._cross_entropy(network, batch, 0.0)
        rows = [i for i, known in enumerate(batch.references) if known is not None]
        found: list[str] = []
        if rows:
            lengths = batch.lengths[rows]
            values = batch.values[rows][:, : int(lengths.max())]
            best = [hypotheses[0] for hypotheses in self.hypotheses(network, values, lengths)]
            found = [self.encoder.decode(hypothesis.tokens) for hypothesis in best]
        return float(total), int(count), found, [known for known in batch.references if known is not None]

    def metrics(self, observed: list[Any]) -> dict[str, float]:
        """Loss in nats per token, its exponential (perplexity), BLEU and chrF."""
        loss = sum(row[0] for row in observed) / max(sum(row[1] for row in observed), 1)
        found = [text for row in observed for text in row[2]]
        references = [known for row in observed for known in row[3]]
        metrics = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
        metrics = {**corpus_metrics(found, references, self.bleu_tokens), **metrics}
        return self.own.beside(metrics, references, found) if self.own else metrics

    def _cross_entropy(self, network: torch.nn.Module, batch: PairBatch, smoothing: float) -> tuple[Tensor, Tensor]:
        scores, expected = network(batch.values, batch.lengths, batch.targets, batch.target_lengths)
        if self.function is not None:
            return own_losses(self.function, scores, expected, "token").sum(), self.weight(batch)
        total = torch.nn.functional.cross_entropy(scores, expected, reduction="sum", label_smoothing=smoothing)
        return total, self.weight(batch)
