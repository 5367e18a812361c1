"""A language model that reads the sentences of a tagger: its states are further features of the words.

The state of the forward layers after a word knows the text up to its end. The state of the backward layers before a
word knows the text from its beginning on (Akbik, Blythe and Vollgraf, "Contextual string embeddings for sequence
labeling", 2018, https://aclanthology.org/C18-1139).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from recurra._util.schema import Flag, Record, Size
from recurra.data import ENCODERS
from recurra.data.batching.words import WordBatch
from recurra.data.encoders.running_text import RunningTextConfig
from recurra.data.encoders.text import TextConfig
from recurra.errors import UsageError
from recurra.nn import RecurrentSpec
from recurra.tasks.params import MAX_LAYERS, MAX_SIZE
from recurra.tasks.starting.language import Language


class ReaderConfig(Record):
    """Tokens and sizes of a language model, in config.json."""

    encoder: TextConfig | RunningTextConfig
    cell: str
    hidden_size: Size
    num_layers: Size
    bidirectional: Flag
    embedding_size: Size

    def check(self) -> None:
        """See `Record.check`."""
        if max(self.hidden_size, self.embedding_size) > MAX_SIZE or self.num_layers > MAX_LAYERS:
            raise ValueError("reader has a layer that is too large")


class Reader:
    """Tokens and sizes of a language model that reads sentences.

    Args:
        encoder: converts texts to tokens.
        sizes: cell, hidden_size, num_layers, bidirectional and embedding_size.
    """

    def __init__(self, encoder: Any, sizes: dict[str, Any]) -> None:
        self.encoder, self.sizes = encoder, sizes

    @classmethod
    def of(cls, language: Language) -> Self:
        """Returns the reader of a language model."""
        names = ("cell", "hidden_size", "num_layers", "bidirectional", "embedding_size")
        return cls(language.encoder, {name: language.params[name] for name in names})

    def pieces(self, words: Sequence[str]) -> list[np.ndarray]:
        """Returns the tokens of each word with the space before it."""
        return self.encoder.encode([f" {word}" for word in words])

    def build(self) -> ReaderNetwork:
        """Returns the network, not trained."""
        sizes = dict(self.sizes)
        return ReaderNetwork(self.encoder.input_size, sizes.pop("embedding_size"), RecurrentSpec(**sizes))

    def to_config(self) -> dict[str, Any]:
        """Returns the settings that `from_files` needs in addition to the files of the encoder."""
        return {"encoder": self.encoder.to_config(), **self.sizes}

    @classmethod
    def from_files(cls, config: dict[str, Any], files: dict[str, str]) -> Self:
        """Rebuilds a reader from `to_config` and the files of the encoder."""
        sizes = dict(config)
        encoder = sizes.pop("encoder")
        return cls(ENCODERS[encoder["kind"]].from_files(encoder, files), sizes)


class ReaderNetwork(torch.nn.Module):
    """Reads the tokens of sentences. Its weights are not trained.

    Args:
        tokens: number of different tokens.
        embedding_size: size of a token's vector.
        recurrent: options of the layers.
    """

    def __init__(self, tokens: int, embedding_size: int, recurrent: RecurrentSpec) -> None:
        super().__init__()
        self.hidden_size, self.bidirectional = recurrent.hidden_size, recurrent.directions == 2
        self.output_size = recurrent.directions * recurrent.hidden_size
        self.embedding = torch.nn.Embedding(tokens, embedding_size)
        self.recurrent = recurrent.build(embedding_size)
        self.requires_grad_(requires_grad=False)

    def forward(self, batch: WordBatch) -> Tensor:
        """Returns the states at the borders of the words, `(batch, time, features)`."""
        assert batch.pieces is not None and batch.piece_lengths is not None  # noqa: PT018, S101
        real = torch.arange(batch.values.shape[1], device=batch.values.device) < batch.lengths.to(
            batch.values.device
        ).unsqueeze(1)
        counts = batch.piece_lengths[batch.values] * real
        ends = counts.cumsum(1)
        tokens = _sentences(batch, counts, ends)
        lengths = counts.sum(1)
        output, _ = self.recurrent(self.embedding(tokens), lengths=lengths.cpu())
        output = torch.nn.functional.pad(output, (0, 0, 0, 1))  # a sentence without tokens has a step of zeros
        last = output.shape[1] - 1
        found = [_at(output[..., : self.hidden_size], torch.where(counts > 0, ends - 1, last))]
        if self.bidirectional:
            found.append(_at(output[..., self.hidden_size :], torch.where(counts > 0, ends - counts, last)))
        return torch.cat(found, 2)


def _sentences(batch: WordBatch, counts: Tensor, ends: Tensor) -> Tensor:
    """Returns the tokens of each sentence, `(batch, tokens)`."""
    assert batch.pieces is not None  # noqa: S101
    places = torch.arange(batch.pieces.shape[1], device=counts.device)
    used = places < counts.unsqueeze(2)
    rows = torch.arange(len(counts), device=counts.device)[:, None, None].expand_as(used)
    tokens = torch.zeros(len(counts), int(counts.sum(1).max()) if len(counts) else 0, dtype=torch.long)
    tokens = tokens.to(counts.device)
    tokens[rows[used], ((ends - counts).unsqueeze(2) + places)[used]] = batch.pieces[batch.values][used].long()
    return tokens


def _at(output: Tensor, steps: Tensor) -> Tensor:
    """Returns the outputs at some steps, `(batch, words, features)`."""
    return output.gather(1, steps.unsqueeze(2).expand(-1, -1, output.shape[2]))


def refuse_reader(estimator: Any, what: str) -> None:
    """Raises `UsageError` for a tagger with features of a language model.

    Args:
        estimator: the fitted tagger.
        what: what it cannot do.
    """
    if estimator.reader_ is not None:
        raise UsageError(
            f"a tagger with features of a language model cannot {what}; train one without --start-from (start_from)"
        )
