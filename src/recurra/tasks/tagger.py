"""The network of tagging: words and their characters, a recurrent stack over the words, a chain of tags."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.data.words import NO_SIGN, WordBatch
from recurra.nn import Chain, build_recurrent, last_hidden
from recurra.ops import dropout as drop


class TaggerNetwork(torch.nn.Module):
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
        cell: see `recurra.nn.build_recurrent`.
        hidden_size: units per layer and direction over the words.
        num_layers: layers over the words.
        bidirectional: whether sentences are read from both ends.
        dropout: probability of dropping a feature before each layer and before the head, in training.
        token_dropout: probability of replacing a word's vector by that of the unknown word, in training.
        crf: whether transitions between tags are learnt.
        allowed: see `recurra.nn.Chain`.
        engine: engine of the recurrence.
        memory: `"full"` or `"recompute"`.
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
        cell: str,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        token_dropout: float,
        crf: bool,
        allowed: tuple[Tensor, Tensor, Tensor] | None,
        engine: str,
        memory: str,
    ) -> None:
        super().__init__()
        self.dropout, self.token_dropout = dropout, token_dropout
        self.embedding = _embedding(words, embedding_size)
        self.sign_embedding = self.spelling = None
        size = embedding_size
        if signs:
            self.sign_embedding = _embedding(signs, char_embedding_size, padding_idx=NO_SIGN)
            self.spelling = build_recurrent(
                "lstm" if cell == "none" else cell,
                char_embedding_size,
                char_hidden_size,
                1,
                bidirectional=True,
                engine=engine,
                memory=memory,
            )
            size += 2 * char_hidden_size
        self.recurrent = build_recurrent(
            cell,
            size,
            hidden_size,
            num_layers,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
            engine=engine,
            memory=memory,
        )
        directions = 2 if bidirectional and cell != "none" else 1
        self.head = torch.nn.Linear(directions * hidden_size, tags)
        self.chain = Chain(tags, learnt=crf, allowed=allowed)

    def forward(self, batch: WordBatch) -> Tensor:
        """Scores of the tags, `(batch, time, tags)`."""
        words = batch.words[batch.values]
        if self.training and self.token_dropout > 0:
            words = words * (torch.rand(words.shape, device=words.device) >= self.token_dropout)  # 0 is the unknown
        vectors = [self.embedding(words)]
        if self.sign_embedding is not None and self.spelling is not None:
            signs = self.sign_embedding(batch.characters).sum(2)  # a character and its letters
            signs = drop(signs, self.dropout / 2, training=self.training)
            _, state = self.spelling(signs, lengths=batch.character_lengths)
            spelt = last_hidden(state[0] if isinstance(state, tuple) else state, 2)
            vectors.append(torch.nn.functional.embedding(batch.values, spelt))
        values = drop(torch.cat(vectors, 2), self.dropout, training=self.training)
        output, _ = self.recurrent(values, lengths=batch.lengths)
        return self.head(drop(output, self.dropout, training=self.training))


def _embedding(count: int, size: int, padding_idx: int | None = None) -> torch.nn.Embedding:
    embedding = torch.nn.Embedding(count, size, padding_idx)
    torch.nn.init.normal_(embedding.weight, std=0.5)
    if padding_idx is not None:
        torch.nn.init.zeros_(embedding.weight[padding_idx])
    return embedding
