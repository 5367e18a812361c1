"""Pieces of text: cuts the text so far where later characters change no earlier token."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.data.encoders.text import UNKNOWN, TextEncoder

from .service import InputError

LONGEST_REST = 2000
"""Characters that a rest of text may have, because each answer reads the rest again."""


class TextSteps:
    """Converts pieces of text to tokens.

    Later characters can change the last tokens of a text. The text before a cut is committed: its tokens are final.
    The text after the cut is the rest.

    Args:
        encoder: the encoder of the model.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        # a special token in a text is one token, unless the tokenizer reads its characters
        specials = (UNKNOWN, *encoder.specials) if not encoder.tokenizer.encode_special_tokens else ()
        self._cut = (lambda text: _character_cut(text, specials)) if encoder.tokens == "char" else _word_cut

    def parse(self, inputs: Any) -> str:
        """Joins pieces of text; any division of a text into pieces gives the same answers."""
        if not isinstance(inputs, list):
            raise InputError("inputs must be a list of texts", ("inputs",))
        for i, text in enumerate(inputs):
            if not isinstance(text, str):
                raise InputError(f"expected a text, got {type(text).__name__}", ("inputs", i))
        return "".join(inputs).encode("utf-8", "replace").decode()  # as the encoder does with lone surrogates

    def split(self, text: str) -> tuple[str, str]:
        """Returns the committed part and the rest; the tokens of both together are those of the text.

        Example:
            >>> steps = TextSteps(TextEncoder("word").fit([["one two two one"]]))
            >>> steps.split("one two thr")
            ('one two', ' thr')
        """
        cut = self._cut(text)
        return text[:cut], text[cut:]

    def encode(self, rests: Sequence[str], items: Sequence[str]) -> EncodedText:
        """Adds text to the rests of several sequences, and encodes both parts."""
        parts = [self.split(rest + item) for rest, item in zip(rests, items, strict=True)]
        ids = self.encoder.encode([committed for committed, _ in parts] + [rest for _, rest in parts])
        long = {
            i: f"the text has {LONGEST_REST:,} characters without a space between words; later characters could "
            "change the tokens of all of them"
            for i, (_, rest) in enumerate(parts)
            if len(rest) > LONGEST_REST
        }
        count = len(parts)
        return EncodedText(padded(ids[:count]), padded(ids[count:]), [rest for _, rest in parts], long)


class EncodedText(NamedTuple):
    """Result of `TextSteps.encode`.

    Attributes:
        committed: token numbers `(sequences, time)` and their lengths `(sequences,)`.
        pending: the same of the rests.
        rests: the rests.
        errors: see `Advanced`.
    """

    committed: tuple[Tensor, Tensor]
    pending: tuple[Tensor, Tensor]
    rests: list[str]
    errors: dict[int, str]


def padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Returns token numbers `(sequences, time)`, 0 beyond the end, and lengths `(sequences,)`."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    found = np.zeros((len(rows), int(lengths.max(initial=0))), np.int64)
    if found.size:
        found[np.arange(found.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(found), torch.from_numpy(lengths)


def _word_cut(text: str) -> int:
    """Returns the position of the last space between two words; 0 if there is none."""
    at = text.rfind(" ", 1, len(text) - 1) if len(text) > 2 else -1
    while at > 0 and (text[at - 1].isspace() or text[at + 1].isspace() or not _begins(text[at + 1])):
        at = text.rfind(" ", 1, at)
    return max(at, 0)


def _character_cut(text: str, specials: Sequence[str]) -> int:
    """Returns the position of the last character that does not join the one before; 0 if there is none."""
    for at in range(len(text) - 1, 0, -1):
        if _begins(text[at]):
            longest = max(map(len, specials), default=0)
            starts = range(max(at - longest + 1, 0), at)
            inside = [i for i in starts if any(s.startswith(text[i : i + len(s)]) for s in specials)]
            return min(inside, default=at)
    return 0


def _begins(character: str) -> bool:
    """Returns whether a character never joins the character before it in Unicode's NFC form.

    The characters that may join are combining marks, vowels and final consonants of Hangul, and Kirat Rai vowels.
    Characters that this version of Python does not know may join in the tokenizer's version of Unicode.
    """
    if character < "\u0300":
        return True
    if "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7ff":
        return False
    return unicodedata.category(character) not in ("Mn", "Mc", "Me", "Cn") and not (
        "\U00016d40" <= character <= "\U00016d7f"
    )
