"""Batches of sentences. The characters of every distinct word are stored once per batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .batches import IGNORE, Batch, Batches, pad
from .store import SequenceStore


class WordBatch(NamedTuple):
    """A batch of sentences, and the distinct words in them.

    Attributes:
        values: index of the word at each step among the distinct words, `(batch, time)`; 0 in the padding.
        lengths: words of each sentence, `(batch,)`.
        targets: numbers of the tags, `(batch, time)`, or None.
        words: numbers of the distinct words, `(words,)`; 0 for an unknown word.
        unseen: True if a word does not occur in the training data, `(words,)`.
        characters: for each distinct word the numbers of its characters and of their letters,
            `(words, longest, 1 + LETTERS)`; 0 for a missing letter and in the padding.
        character_lengths: number of characters of each distinct word, `(words,)`.
        rows: rows of the sentences in the data, `(batch,)`.
        pieces: for each distinct word the tokens that a language model reads, `(words, longest)`, or None.
        piece_lengths: number of these tokens of each distinct word, `(words,)`, or None.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor | None
    words: Tensor
    unseen: Tensor
    characters: Tensor
    character_lengths: Tensor
    rows: Tensor
    pieces: Tensor | None = None
    piece_lengths: Tensor | None = None

    # see `recurra.data.batching.parts.part_of`
    SHARED = ("words", "unseen", "characters", "character_lengths", "pieces", "piece_lengths")


class Lexicon(NamedTuple):
    """The distinct words of a data set, encoded for a model.

    Attributes:
        words: number of each word, `(words,)`.
        unseen: True if a word does not occur in the training data, `(words,)`.
        characters: for each word the numbers of its characters and of their letters, `(time, 1 + LETTERS)`.
        pieces: for each word the tokens that a language model reads, `(time,)`; None without one.
    """

    words: np.ndarray
    unseen: np.ndarray
    characters: list[np.ndarray]
    pieces: list[np.ndarray] | None = None

    def batch(
        self, values: Tensor, lengths: Tensor, targets: Tensor | None, rows: Tensor, index: np.ndarray | None = None
    ) -> WordBatch:
        """Returns a batch of sentences.

        Args:
            values: see `WordBatch`.
            lengths: likewise.
            targets: likewise.
            rows: likewise.
            index: numbers of the distinct words of the batch among these words, `(words,)`; None for all of them.
        """
        index = np.arange(len(self.words)) if index is None else index
        spelt = [self.characters[i] for i in index]
        read = None if self.pieces is None else [self.pieces[i] for i in index]
        return WordBatch(
            values,
            lengths,
            targets,
            torch.from_numpy(self.words[index]),
            torch.from_numpy(self.unseen[index]),
            pad(spelt),
            torch.tensor([len(c) for c in spelt]),
            rows,
            None if read is None else pad(read),
            None if read is None else torch.tensor([len(tokens) for tokens in read]),
        )

    def fingerprint(self) -> str:
        """Hash of the content."""
        digest = hashlib.blake2b(self.words.tobytes() + self.unseen.tobytes(), digest_size=16)
        digest.update(np.cumsum([len(c) for c in self.characters], dtype=np.int64).tobytes())
        digest.update(np.concatenate(self.characters or [np.zeros(0, np.int32)]).tobytes())
        digest.update(b"".join(tokens.tobytes() for tokens in self.pieces or []))
        return digest.hexdigest()


class WordBatches:
    """Batches of sentences with their distinct words.

    Args:
        batches: batches of indices of words in `lexicon`.
        lexicon: the distinct words of the data.
    """

    def __init__(self, batches: Batches, lexicon: Lexicon) -> None:
        self.batches, self.lexicon = batches, lexicon
        targets = batches.targets
        steps = targets.take(batches.rows) if isinstance(targets, SequenceStore) else None
        lengths = batches.store.lengths[batches.rows]
        self._count = int(lengths.sum()) if steps is None else sum(int((s != IGNORE).sum()) for s in steps)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def count(self) -> int:
        """Number of words with a known tag in a pass; number of all words if there are no tags."""
        return self._count

    def __iter__(self) -> Iterator[WordBatch]:
        return map(self._with_words, self.batches)

    def whole(self) -> WordBatch:
        """Returns all sentences as one batch, in their order."""
        return self._with_words(self.batches.whole())

    def _with_words(self, batch: Batch) -> WordBatch:
        real = torch.arange(batch.values.shape[1]) < batch.lengths.unsqueeze(1)
        used, places = torch.unique(batch.values[real], return_inverse=True)
        values = torch.zeros(batch.values.shape, dtype=torch.long)
        values[real] = places
        # the network needs at least one word, even if all sentences are empty
        index = used.numpy() if len(used) else np.zeros(1, np.int64)
        return self.lexicon.batch(values, batch.lengths, batch.targets, batch.rows, index)

    def seek(self, step: int) -> None:
        """Moves to the position after `step` batches since the beginning of the first epoch."""
        self.batches.seek(step)

    def fingerprint(self) -> str:
        """Hash of sentences, tags and words."""
        content = self.batches.fingerprint() + self.lexicon.fingerprint()
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
