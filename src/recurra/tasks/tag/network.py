"""Networks of tagging (a recurrent stack over words or numbers, a chain of tags), loss and metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.cells.registry import NO_MEMORY
from recurra.data.batching.batches import IGNORE, Batch
from recurra.data.batching.words import WordBatch
from recurra.data.encoders.tag_schemes import Part, spans
from recurra.data.encoders.words import NO_SIGN
from recurra.nn import LinearChainCRF, RecurrentSpec, last_hidden
from recurra.nn.tokens.vector_embedding import Embedding, VectorEmbedding, embed_with_unknown
from recurra.ops import Linear, batch_part
from recurra.ops import dropout as drop
from recurra.training.own import OwnMetrics, own_losses

from .reader import ReaderNetwork

EMBEDDING_DEVIATION = 0.5
"""Standard deviation of new vectors of words and characters."""
UNSEEN_TAG = -1
"""Number of a tag that training never saw: always an error in the metrics, never in the loss."""


class StackNetwork(torch.nn.Module):
    """Base of the networks: a recurrent stack over a vector of each step, and a chain of tags."""

    def _add_stack(
        self, size: int, tags: int, recurrent: RecurrentSpec, crf: bool, allowed: tuple[Tensor, Tensor, Tensor] | None
    ) -> None:
        self.dropout = recurrent.dropout
        self.recurrent = recurrent.build(size)
        self.head = Linear(recurrent.directions * recurrent.hidden_size, tags)
        self.chain = LinearChainCRF(tags, learnt=crf, allowed=allowed)

    def forward(self, batch: Any) -> Tensor:
        """Scores of the tags, `(batch, time, tags)`."""
        return self.head(drop(self.states(batch), self.dropout, training=self.training))

    def states(self, batch: Any) -> Tensor:
        """States of the top layer after each step, `(batch, time, size)`."""
        return self.recurrent(self.vectors(batch), lengths=batch.lengths)[0]  # type: ignore[no-any-return]

    def vectors(self, batch: Any) -> Tensor:
        """Vectors of the steps, `(batch, time, features)`."""
        raise NotImplementedError


class StepNetwork(StackNetwork):
    """A stack over the numbers of each step.

    Args:
        features: numbers of a step.
        tags: number of tags.
        recurrent: options of the layers; their dropout is also applied before the head.
        crf: whether transitions between tags are learnt.
    """

    def __init__(self, features: int, tags: int, *, recurrent: RecurrentSpec, crf: bool) -> None:
        super().__init__()
        self._add_stack(features, tags, recurrent, crf, None)

    def vectors(self, batch: Batch) -> Tensor:
        """See `StackNetwork.vectors`."""
        return batch.values


class TaggerNetwork(StackNetwork):
    """A vector of each word beside what a recurrent layer makes of its characters, then a stack over the words.

    The characters of equal words of a batch are read once. Without memory (`cell="none"`) each word is judged by
    itself; its characters, which are one step together, are still read in order.

    Args:
        words: number of different words.
        signs: number of different characters and letters, 0 to read none.
        tags: number of tags.
        embedding_size: size of a word's vector.
        char_embedding_size: size of a character's vector.
        char_hidden_size: units per direction over the characters.
        recurrent: options of the layers over the words; their dropout is also applied before the head.
        token_dropout: probability of replacing a word's vector by that of the unknown word, in training.
        crf: whether transitions between tags are learnt.
        allowed: see `recurra.nn.LinearChainCRF`.
        reader: language model whose states are features of the words; None for none.
        vectors: see `recurra.nn.SequenceEncoder`.
    """

    def __init__(
        self,
        words: int,
        signs: int,
        tags: int,
        *,
        embedding_size: int,
        char_embedding_size: int,
        char_hidden_size: int,
        recurrent: RecurrentSpec,
        token_dropout: float,
        crf: bool,
        allowed: tuple[Tensor, Tensor, Tensor] | None,
        reader: ReaderNetwork | None = None,
        vectors: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.reader = reader
        self.token_dropout = token_dropout
        self.embedding: Embedding
        if vectors is None:
            self.embedding = _embedding(words, embedding_size)
        else:
            self.embedding = VectorEmbedding(words, vectors[0], size=embedding_size, given=vectors[1])
            torch.nn.init.normal_(self.embedding.trained.weight, std=EMBEDDING_DEVIATION)
        self.sign_embedding = self.spelling = None
        size = self.embedding.embedding_dim
        if signs:
            self.sign_embedding = _embedding(signs, char_embedding_size, padding_idx=NO_SIGN)
            cell = "lstm" if recurrent.cell == NO_MEMORY else recurrent.cell
            own = replace(recurrent, cell=cell, hidden_size=char_hidden_size, num_layers=1, bidirectional=True)
            self.spelling = own.build(char_embedding_size)
            size += 2 * char_hidden_size
        self._add_stack(size + (reader.output_size if reader else 0), tags, recurrent, crf, allowed)

    def vectors(self, batch: WordBatch) -> Tensor:
        """Vectors of the words and their characters, `(batch, time, features)`."""
        hidden = self.token_dropout if self.training else 0.0
        vectors = [embed_with_unknown(self.embedding, batch.words[batch.values], hidden)]
        if self.sign_embedding is not None and self.spelling is not None:
            signs = self.sign_embedding(batch.characters).sum(2)  # a character and its letters
            with batch_part(0, 0, None):  # the words are those of the whole batch
                signs = drop(signs, self.dropout / 2, training=self.training)
                _, state = self.spelling(signs, lengths=batch.character_lengths)
            spelt = last_hidden(state[0] if isinstance(state, tuple) else state, 2)
            vectors.append(torch.nn.functional.embedding(batch.values, spelt))
        if self.reader is not None:
            vectors.append(self.reader(batch))
        return drop(torch.cat(vectors, 2), self.dropout, training=self.training)


def _embedding(count: int, size: int, padding_idx: int | None = None) -> torch.nn.Embedding:
    embedding = torch.nn.Embedding(count, size, padding_idx)
    torch.nn.init.normal_(embedding.weight, std=EMBEDDING_DEVIATION)
    if padding_idx is not None:
        torch.nn.init.zeros_(embedding.weight[padding_idx])
    return embedding


class Observed(NamedTuple):
    """Observations of a batch for the metrics: one row for each step, sequence by sequence."""

    found: np.ndarray
    targets: np.ndarray
    unseen: np.ndarray
    lengths: np.ndarray
    loss: float


class Tagging:
    """Loss and metrics of tagging; F1 of spans chooses the best epoch where there are spans, else accuracy.

    Args:
        parts: what the tags say of spans, None where they mark none.
        chain: decodes the scores of baselines, which have no chain.
        loss: function of a user for the loss of each known tag; anything else keeps the loss.
        own: further metrics, of the tags that training knows.
        classes: the tags, for these metrics.
    """

    monitor_mode = "max"
    perfect: float | None = 1.0

    def __init__(
        self,
        parts: list[Part] | None = None,
        chain: LinearChainCRF | None = None,
        *,
        loss: Any = None,
        own: OwnMetrics | None = None,
        classes: np.ndarray | None = None,
    ) -> None:
        self.parts, self.chain = parts, chain
        self.function, self.own, self.classes = loss if callable(loss) else None, own, classes
        self.monitor = "f1" if parts else "accuracy"

    def loss(self, network: Any, batch: WordBatch | Batch) -> tuple[Tensor, Tensor]:
        """Sum of the losses of the sequences of a batch, and its number of known tags."""
        assert batch.targets is not None  # noqa: S101  (training and validation batches have them)
        return self._losses(network, network(batch), batch).sum(), self.weight(batch)

    def _losses(self, network: Any, scores: Tensor, batch: Any) -> Tensor:
        """Losses that add up to that of the batch."""
        if self.function is None:
            return self._chain(network).loss(scores, batch.targets, batch.lengths)  # type: ignore[no-any-return]
        known = batch.targets >= 0
        return own_losses(self.function, scores[known], batch.targets[known].long(), "tag")

    def weight(self, batch: WordBatch | Batch) -> Tensor:
        """Number of the known tags."""
        assert batch.targets is not None  # noqa: S101
        return (batch.targets >= 0).sum().float()

    def observe(self, network: Any, batch: WordBatch | Batch) -> Observed:
        """Tags found and tags given."""
        assert batch.targets is not None  # noqa: S101
        scores, chain = network(batch), self._chain(network)
        found = chain.decode(scores, batch.lengths).cpu()
        loss = float(self._losses(network, scores, batch).sum())
        real = torch.arange(found.shape[1]) < batch.lengths.unsqueeze(1)
        tags, targets = (column[real].numpy() for column in (found, batch.targets.cpu()))
        unseen = np.zeros(len(tags), bool)
        if isinstance(batch, WordBatch):
            unseen = batch.unseen.cpu()[batch.values.cpu()][real].numpy()
        return Observed(tags, targets, unseen, batch.lengths.numpy(), loss)

    def _chain(self, network: Any) -> Any:
        return getattr(network, "chain", self.chain)

    def metrics(self, observed: list[Observed]) -> dict[str, float]:
        """Accuracy, that on words never seen in training, F1, and mean loss in nats.

        F1 is that of exact spans, with precision and recall; without spans it is the mean of the tags that are given or
        found.
        """
        found, targets, unseen = (np.concatenate(c) for c in list(zip(*observed, strict=True))[:3])
        judged, right = targets != IGNORE, found == targets
        metrics = {"accuracy": _mean(right[judged])}
        if (judged & unseen).any():
            metrics["unseen_word_accuracy"] = _mean(right[judged & unseen])
        if self.parts:
            lengths = np.concatenate([o.lengths for o in observed])
            metrics |= _span_metrics(found, targets, lengths, self.parts)
        else:
            metrics["macro_f1"] = _macro_f1(found[judged], targets[judged])
        known = targets >= 0
        metrics["loss"] = sum(o.loss for o in observed) / max(int(known.sum()), 1)
        if not self.own or self.classes is None:
            return metrics
        predicted, true = found[known], targets[known]
        return self.own.beside(metrics, self.classes[true], self.classes[predicted], scores=predicted, codes=true)

    def items(self, observed: list[Observed]) -> np.ndarray | None:
        """Right tags and known tags of each sentence, `(sentences, 2)`; None where F1 is compared."""
        if self.parts:
            return None
        found, targets, _, lengths = (np.concatenate(c) for c in list(zip(*observed, strict=True))[:4])
        sentence, judged = np.repeat(np.arange(len(lengths)), lengths), targets != IGNORE
        right = np.bincount(sentence, (found == targets) & judged, minlength=len(lengths))
        return np.stack([right, np.bincount(sentence, judged, minlength=len(lengths))], 1)


def _mean(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else 0.0


def _macro_f1(found: np.ndarray, targets: np.ndarray) -> float:
    """Returns the mean F1 of the tags that occur; tags that training never saw count as one."""
    tags, places = np.unique(np.concatenate([targets, found]), return_inverse=True)
    given, answered = places[: len(targets)], places[len(targets) :]
    both = np.bincount(given[given == answered], minlength=len(tags))
    every = np.bincount(places, minlength=len(tags))
    return _mean(2 * both / np.maximum(every, 1))


def _span_metrics(found: np.ndarray, targets: np.ndarray, lengths: np.ndarray, parts: list[Part]) -> dict[str, float]:
    """Precision, recall and F1 of exact spans; sentences with a missing tag are left out."""
    both = given = answered = 0
    unseen = Part("I", "\0")  # a run of tags that training never saw is one span, which no answer can meet
    ends = np.cumsum(lengths)
    for start, end in zip(ends - lengths, ends, strict=True):
        gold = targets[start:end]
        if (gold == IGNORE).any():
            continue
        expected = set(spans(parts[t] if t >= 0 else unseen for t in gold))
        answer = set(spans(parts[t] for t in found[start:end]))
        both, given, answered = both + len(expected & answer), given + len(expected), answered + len(answer)
    precision, recall = both / answered if answered else 0.0, both / given if given else 0.0
    f1 = 2 * both / (given + answered) if given + answered else 1.0
    return {"precision": precision, "recall": recall, "f1": f1}
