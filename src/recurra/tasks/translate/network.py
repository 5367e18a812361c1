"""The network of translation: an encoder, and a decoder that attends to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.data.batching.batches import IGNORE
from recurra.data.encoders.text import UNKNOWN_ID
from recurra.nn import Memoryless, RecurrentSpec, SequenceEncoder, step_mask
from recurra.nn.attention import Attention
from recurra.ops import Linear, linear, uniform
from recurra.ops import dropout as drop

SPECIALS = ("[BEGIN]", "[END]")
BEGIN, END = 1, 2


class Encoded(NamedTuple):
    """Encoded source sentences, the input of the decoder.

    Attributes:
        keys: encoder outputs `(batch, time, size)`.
        values: the same beside the embedded tokens `(batch, time, size + embedding)`.
        mask: True where a step is real `(batch, time)`.
        state: the decoder's initial state, as its recurrent layer takes it.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    state: Any


class EncoderDecoder(torch.nn.Module):
    """Encoder–decoder with attention (Bahdanau et al. 2015, Luong et al. 2015).

    The decoder's recurrence does not take in what was attended to (no "input feeding"), so that with teacher forcing
    one call runs it over all steps. Attention also reads the embedded source tokens themselves, which shortens the way
    from a word to its translation: with few sentence pairs, rare words gain most (as in Nguyen and Chiang 2018).

    Args:
        source_size: number of different source tokens.
        target_size: number of different target tokens.
        embedding_size: size of a token's vector; the target's vectors also score the output (Press and Wolf 2017).
        recurrent: options of the encoder, and of the decoder, which has one direction. Their dropout is also applied
            elsewhere.
        token_dropout: probability of replacing a token on either side by the unknown token, in training.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_size: int,
        *,
        recurrent: RecurrentSpec,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.dropout, self.token_dropout = recurrent.dropout, token_dropout
        self.layers, self.hidden_size = recurrent.num_layers, recurrent.hidden_size
        self.encoder = SequenceEncoder(source_size, embedding_size, token_dropout=token_dropout, **vars(recurrent))
        self.embedding = torch.nn.Embedding(target_size, embedding_size)
        torch.nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
        self.decoder = replace(recurrent, bidirectional=False).build(embedding_size)
        self.states = 1 if isinstance(self.decoder, Memoryless) else len(self.decoder.stack.cell.states)
        size = self.encoder.output_size
        self.bridge = Linear(size, self.states * self.layers * self.hidden_size)
        self.attention = Attention(self.hidden_size, size)
        self.combine = Linear(self.hidden_size + size + embedding_size, embedding_size)
        self.bias = torch.nn.Parameter(torch.zeros(target_size))

    def encode(self, values: Tensor, lengths: Tensor) -> Encoded:
        """Reads source tokens `(batch, time)`."""
        keys, last = self.encoder(values, lengths)
        assert self.encoder.embedding is not None  # noqa: S101  (its inputs are tokens)
        memory = self._drop(torch.cat([keys, self.encoder.embedding(values)], dim=-1))
        state = torch.tanh(self.bridge(self._drop(last))).unflatten(-1, (self.states, self.layers, self.hidden_size))
        parts = tuple(state[:, i].transpose(0, 1).contiguous() for i in range(self.states))
        mask = step_mask(lengths.to(values.device), values.shape[1])
        return Encoded(keys, memory, mask, parts if self.states > 1 else parts[0])

    def forward(
        self, values: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Teacher forcing: every next token from the true ones before it.

        Args:
            values: source tokens `(batch, time)`.
            lengths: `(batch,)`.
            targets: target tokens `(batch, time)`, any number beyond the lengths.
            target_lengths: `(batch,)`.

        Returns:
            Scores of all tokens `(steps, tokens)`, and the true ones `(steps,)`, over the real steps of all
            sentences and their ends; steps whose true token is unknown are left out.
        """
        given, expected, steps = shifted(targets, target_lengths)
        if self.training and self.token_dropout > 0:
            keep = uniform(given.shape, given.device) >= self.token_dropout
            given = given * (keep | (given == BEGIN))  # 0 is the unknown token
        features, _ = self._decode(given, steps, self.encode(values, lengths))
        counts = is_known(expected)
        return self._scores(features[counts]), expected[counts]

    def attend(self, values: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Attention weights `(batch, target time + 1, time)` of given translations, all of one length."""
        given, _, steps = shifted(targets, torch.full((len(targets),), targets.shape[1]))
        return self._decode(given, steps, self.encode(values, lengths))[1]

    def _decode(self, given: Tensor, steps: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """The decoder over all steps at once: hidden state beside context, and attention weights."""
        hidden, _ = self.decoder(self._drop(self.embedding(given)), encoded.state, lengths=steps)
        context, weights = self.attention(hidden, encoded.keys, encoded.values, encoded.mask)
        return torch.cat([hidden, context], dim=-1), weights

    def step(self, tokens: Tensor, state: Any, encoded: Encoded) -> tuple[Tensor, Any, Tensor]:
        """One step of decoding, for several hypotheses of each sentence.

        Args:
            tokens: the last token of each hypothesis `(batch * beams,)`, those of one sentence side by side.
            state: what the step before returned; `repeated(encoded.state, beams)` to begin.
            encoded: of the `batch` sentences.

        Returns:
            Scores `(batch * beams, tokens)`, the next state, and attention weights `(batch * beams, time)`.
        """
        hidden, state = self.decoder.step(self.embedding(tokens), state)
        # the hypotheses of a sentence are so many queries to the same memory: nothing is copied
        queries = hidden.unflatten(0, (len(encoded.keys), -1))
        context, weights = self.attention(queries, encoded.keys, encoded.values, encoded.mask)
        scores = self._scores(torch.cat([hidden, context.flatten(0, 1)], dim=-1))
        return scores, state, weights.flatten(0, 1)

    def _scores(self, features: Tensor) -> Tensor:
        combined = torch.tanh(self.combine(features))
        return linear(self._drop(combined), self.embedding.weight, self.bias)

    def _drop(self, values: Tensor) -> Tensor:
        return drop(values, self.dropout, training=self.training)


def is_known(expected: Tensor) -> Tensor:
    """Returns whether each step of an expected output has a known token."""
    return (expected != IGNORE) & (expected != UNKNOWN_ID)


def shifted(targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns input, expected output and number of steps of the decoder.

    Example:
        >>> import torch
        >>> given, expected, steps = shifted(torch.tensor([[7, 8], [9, -100]]), torch.tensor([2, 1]))
        >>> given.tolist(), expected.tolist(), steps.tolist()
        ([[1, 7, 8], [1, 9, 0]], [[7, 8, 2], [9, 2, -100]], [3, 2])
    """
    batch, time = targets.shape
    lengths = lengths.to(targets.device)
    at = torch.arange(time + 1, device=targets.device)
    padded = torch.cat([targets, targets.new_zeros(batch, 1)], dim=1).long()
    ends = lengths.unsqueeze(1)
    expected = padded.masked_fill(at == ends, END).masked_fill(at > ends, IGNORE)
    given = torch.cat([padded.new_full((batch, 1), BEGIN), expected[:, :-1]], dim=1)
    return given.masked_fill(at > ends, 0), expected, (lengths + 1).cpu()


def map_state(state: Any, change: Any) -> Any:
    """A state `(layers, batch, hidden)`, or a pair of them, with `change` done to each."""
    return tuple(change(part) for part in state) if isinstance(state, tuple) else change(state)


def repeated(state: Any, beams: int) -> Any:
    """A state with every sentence `beams` times, side by side."""
    return map_state(state, lambda part: part.repeat_interleave(beams, dim=1))
