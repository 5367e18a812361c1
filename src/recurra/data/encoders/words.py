"""Encodes words: a word becomes a number, and the numbers of its characters."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np

from recurra._util.schema import Natural, Record, Size, empty_list, parse_file
from recurra.data.batching.words import Lexicon
from recurra.errors import UsageError

CHARACTERS = ("jamo", "char", "none")
UNKNOWN_ID = 0
NO_SIGN, UNKNOWN_SIGN = 0, 1
LETTERS = 3
"""Maximum number of letters of one character; a syllable of Hangul has at most three."""
LONGEST = 64
"""Maximum number of characters of a word; the middle of longer words is left out."""


WORDS = "words.json"


class WordConfig(Record, tag="words", tag_field="kind"):
    """See `WordEncoder.to_config`."""

    characters: Literal["jamo", "char", "none"]
    vocab_size: Size
    vectors: Size | None = None


class WordFile(Record):
    """Numbers of words and characters, see `WordEncoder.to_files`."""

    words: dict[str, Natural]
    characters: dict[str, Size]
    further: list[str] = empty_list()


class WordEncoder:
    """Numbers the words and characters of the training data.

    Words and characters that occur once share the number of unknown ones, so that the model learns to handle unknown
    ones. All words of the training data are stored, so that the accuracy on new words can be measured.

    Args:
        characters: `"char"`, `"jamo"` or `"none"`. `"jamo"` adds to each character its letters by Unicode's canonical
            decomposition, such as the letters of a Hangul syllable, or a letter and its accents.
        vocab_size: maximum number of words with a separate number.

    Attributes:
        vectors: numbers of a given word vector; None without.

    Example:
        >>> encoder = WordEncoder("char").fit([["나는", "간다"], ["나는"]])
        >>> encoder.lexicon(["나는", "너는"]).words.tolist()
        [1, 0]
    """

    kind = "words"

    def __init__(self, characters: str = "jamo", vocab_size: int = 50_000) -> None:
        if characters not in CHARACTERS:
            raise UsageError(f"characters is one of {', '.join(CHARACTERS)}, not {characters!r}")
        self.characters, self.vocab_size = characters, vocab_size
        self._words: dict[str, int] = {}
        self._signs: dict[str, int] = {}
        self._further: dict[str, int] = {}
        self.vectors: int | None = None

    @property
    def words(self) -> int:
        """Number of word numbers, including that of unknown words, and those of words with only a given vector."""
        return self.known + len(self._further)

    @property
    def known(self) -> int:
        """Number of word numbers that were learnt from the training data, including that of unknown words."""
        return 1 + max(self._words.values(), default=0)

    def seen(self) -> list[str]:
        """Returns the different words of the training data."""
        return list(self._words)

    def numbered(self) -> list[str]:
        """Returns the word of each number; an empty text for number 0."""
        known = sorted((number, word) for word, number in self._words.items() if number != UNKNOWN_ID)
        return ["", *(word for _, word in known), *self._further]

    def add_words(self, words: Iterable[str], size: int) -> None:
        """Gives numbers to words that have a given vector, and no number yet.

        Args:
            words: the words.
            size: numbers of a vector.
        """
        self.vectors, self._further = size, {}
        first = self.known
        for word in map(_composed, words):
            if word and not self._words.get(word):
                self._further.setdefault(word, first + len(self._further))

    @property
    def signs(self) -> int:
        """Number of symbol numbers. A symbol is a character or a letter of a character."""
        return 1 + max(self._signs.values(), default=UNKNOWN_SIGN)

    def fit(self, sentences: Iterable[Sequence[str]]) -> WordEncoder:
        """Learns words and characters."""
        words = Counter(_composed(word) for word in chain.from_iterable(sentences))
        signs: Counter[str] = Counter()
        for word, count in words.items():
            for sign in chain.from_iterable(self._spell(word)):
                signs[sign] += count
        self._words = _numbered(words, self.vocab_size, UNKNOWN_ID)
        self._signs = _numbered(signs, len(signs), UNKNOWN_SIGN)
        return self

    def lexicon(self, words: Iterable[str]) -> Lexicon:
        """Encodes distinct words."""
        keys = [_composed(word) for word in words]
        numbers = np.array([self._number(key) for key in keys], np.int64)
        unseen = np.array([key not in self._words for key in keys], bool)
        return Lexicon(numbers, unseen, [self._numbers(self._spell(key)) for key in keys])

    def _number(self, word: str) -> int:
        number = self._words.get(word, UNKNOWN_ID)
        if number != UNKNOWN_ID or self.vectors is None:
            return number
        low = word.lower()
        return self._further.get(word) or self._further.get(low) or self._words.get(low, UNKNOWN_ID)

    def shown(self, words: Iterable[str]) -> list[list[str]]:
        """Returns the characters of each word that the network reads."""
        return [[signs[0] for signs in self._spell(_composed(word))] for word in words]

    def kinds(self) -> np.ndarray:
        """Kind of each symbol, `(symbols,)`: 0 padding, 1 upper case, 2 lower case, 3 digit, 4 other letter, 5 other.

        Example:
            >>> WordEncoder("char").fit([["A1", "A1"]]).kinds().tolist()
            [0, 5, 3, 1]
        """
        found = np.full(self.signs, 5)
        found[NO_SIGN] = 0
        for sign, number in self._signs.items():
            if number != UNKNOWN_SIGN:
                tests = (sign.isupper(), sign.islower(), sign.isnumeric(), sign.isalpha())
                found[number] = next((kind for kind, holds in enumerate(tests, 1) if holds), 5)
        return found

    def _spell(self, word: str) -> list[list[str]]:
        """Returns each character, followed by its letters if the setting is `"jamo"` and it has several."""
        if self.characters == "none":
            return []
        if len(word) > LONGEST:
            word = word[: LONGEST // 2] + word[-LONGEST // 2 :]
        if self.characters == "char":
            return [[sign] for sign in word]
        parts = ((sign, unicodedata.normalize("NFD", sign)) for sign in word)
        return [[sign, *letters[:LETTERS]] if len(letters) > 1 else [sign] for sign, letters in parts]

    def _numbers(self, spelt: list[list[str]]) -> np.ndarray:
        found = np.full((len(spelt), 1 + LETTERS), NO_SIGN, np.int32)
        for row, signs in zip(found, spelt, strict=True):
            row[: len(signs)] = [self._signs.get(sign, UNKNOWN_SIGN) for sign in signs]
        return found

    def to_files(self) -> dict[str, str]:
        """Returns the file of a model folder that holds words and characters."""
        content: dict[str, Any] = {"words": self._words, "characters": self._signs}
        if self.vectors is not None:
            content["further"] = list(self._further)
        return {WORDS: json.dumps(content, ensure_ascii=False)}

    def to_config(self) -> dict[str, Any]:
        """Returns the settings that `from_files` needs in addition to the file."""
        given = {} if self.vectors is None else {"vectors": self.vectors}
        return {"kind": self.kind, "characters": self.characters, "vocab_size": self.vocab_size, **given}

    @classmethod
    def from_files(cls, config: dict[str, Any], files: dict[str, str]) -> WordEncoder:
        """Rebuilds an encoder from `to_config` and `to_files`."""
        encoder = cls(config["characters"], config["vocab_size"])
        found = parse_file(WordFile, files[WORDS], WORDS)
        encoder._words, encoder._signs = found.words, found.characters
        if config.get("vectors"):
            encoder.add_words(found.further, config["vectors"])
        return encoder


def _composed(word: str) -> str:
    """Returns a word in NFC, so that Hangul in single letters and in syllables is equal. Lone surrogates become `?`."""
    return unicodedata.normalize("NFC", word.encode("utf-8", "replace").decode())


def _numbered(counts: Counter[str], limit: int, unknown: int) -> dict[str, int]:
    """Numbers items from `unknown + 1`, the most frequent first; `unknown` if single or above the limit."""
    ordered = sorted(counts, key=lambda key: (-counts[key], key))
    return {key: unknown + i if counts[key] > 1 and i <= limit else unknown for i, key in enumerate(ordered, 1)}
