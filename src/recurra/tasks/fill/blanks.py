"""Texts with blanks: how they are written, and how they become tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recurra.data import TextEncoder
from recurra.data.encoders.text import UNKNOWN
from recurra.errors import DataError

BLANK = re.compile(r"\[\s*\]|_{3,}")
MAX_BLANKS = 20
FIRST, LATER = 0, 1  # tokens that begin a word, and tokens that go on with it

_RARE = re.compile(r"<unk>", re.IGNORECASE)
_OUTSIDE = "\ue000"  # a character of private use, which no vocabulary has
WORD_START = "▁"  # of a byte-pair piece


class BlankEncoder(TextEncoder):
    """Texts to tokens where white space of any kind and amount is one space, and `<unk>` is the unknown token.

    Corpora whose rare words were taken out have `<unk>` in their place.
    """

    def fit(self, chunks: Iterable[Sequence[str]]) -> BlankEncoder:
        """Learns the vocabulary from lists of texts."""
        super().fit([_spaced(_RARE.sub(" ", text)) for text in chunk] for chunk in chunks)
        return self

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token numbers of each text, `(time,)`."""
        return super().encode([self._marked(text) for text in texts])

    def encode_part(self, text: str, glued: bool) -> np.ndarray:
        """Token numbers of a piece of text; `glued` if it goes on in the middle of a word."""
        marked, skipped = self._part(text, glued)
        return super().encode([marked])[0][skipped:]

    def shown_part(self, text: str, glued: bool) -> list[str]:
        """For each token of a piece of text what it stands for."""
        marked, skipped = self._part(text, glued)
        return super().shown([marked])[0][skipped:]

    def _part(self, text: str, glued: bool) -> tuple[str, int]:
        """A piece of text as it is encoded, and how many tokens to leave out at its beginning."""
        if self.tokens == "char":
            return text, 0
        if self.tokens == "word" or not glued or not text.strip():
            return self._marked(text), 0
        return self._marked(_OUTSIDE + text), 2  # the mark, and the space that begins every text

    def _marked(self, text: str) -> str:
        # pieces of words begin with their space, which the unknown token stands for too
        before = r"\s*" if self.tokens == "bpe" else ""
        return re.sub(before + _RARE.pattern, UNKNOWN, _spaced(text), flags=re.IGNORECASE)

    def inventory(self) -> list[str]:
        """Every token as it is written, by number."""
        return [self.tokenizer.id_to_token(i) or "" for i in range(self.input_size)]


def _spaced(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class Blanked:
    """A text with blanks.

    Attributes:
        text: as it was written, white space apart.
        parts: tokens before, between and after the blanks, one more than there are blanks.
        glued: for each blank, True if it continues the word before it.
    """

    text: str
    parts: tuple[np.ndarray, ...]
    glued: tuple[bool, ...]

    def put(self, words: Sequence[str]) -> str:
        """The text with words in its blanks."""
        found = iter(words)
        return BLANK.sub(lambda _: next(found), self.text)

    def shown(self, encoder: BlankEncoder) -> list[list[str]]:
        """For each token of `parts` what it stands for."""
        return [encoder.shown_part(*part) for part in _parts(self.text, encoder)]


def parse(text: str, encoder: BlankEncoder, row: int | None = None) -> Blanked:
    """Finds the blanks `[ ]` or `___` of a text.

    Raises:
        DataError: the text has no blank, too many, or nothing else.
    """
    text = _spaced(text)
    if not text:
        raise DataError("the text is empty: write one with a blank [ ] in it", row)
    pieces = BLANK.split(text)
    blanks = len(pieces) - 1
    if not blanks:
        raise DataError(f"there is no blank in {text!r:.80}: write [ ] or ___ where a word is missing", row)
    if blanks > MAX_BLANKS:
        raise DataError(f"the text has {blanks} blanks; at most {MAX_BLANKS} are filled together", row)
    if not "".join(pieces).strip():
        raise DataError("the text is nothing but blanks: write some of the words around them", row)
    glued = tuple(bool(piece) and not piece[-1].isspace() for piece in pieces[:-1])
    return Blanked(text, tuple(encoder.encode_part(*part) for part in _parts(text, encoder)), glued)


def _parts(text: str, encoder: BlankEncoder) -> list[tuple[str, bool]]:
    """Returns the texts around the blanks, and for each whether it continues a word."""
    pieces = BLANK.split(text)
    after = (False, *(bool(piece) and not piece[0].isspace() for piece in pieces[1:]))
    if encoder.tokens != "char":
        pieces = [piece.strip() for piece in pieces]
    return list(zip(pieces, after, strict=True))


def word_masks(encoder: BlankEncoder, marks: bool) -> Tensor:
    """0 where a token is allowed and -inf where not, at the start of a word and inside it: `(2, tokens)`.

    Args:
        encoder: knows the tokens.
        marks: whether a blank may hold punctuation marks.
    """
    masks = torch.zeros(2, encoder.input_size)
    for number, piece in enumerate(encoder.inventory()):
        starts = piece.startswith(WORD_START)
        empty = number <= len(encoder.specials) or not piece.strip(WORD_START + " ")
        if empty or not (marks or re.search(r"\w", piece)):
            masks[:, number] = -torch.inf
        elif encoder.tokens == "bpe":
            masks[LATER if starts else FIRST, number] = -torch.inf
    if masks[LATER].isinf().all():  # every word is one piece
        masks[LATER] = masks[FIRST]
    return masks
