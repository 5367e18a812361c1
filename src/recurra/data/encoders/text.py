"""Encodes texts as tokens: characters, words or byte-pair pieces, learned from the user's texts."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal, Self
from unicodedata import normalize

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from recurra._util.schema import FileError, Flag, Record, Size, empty_list, plain
from recurra.errors import DataError, UsageError

from .tokenizer_file import read_tokenizer

TOKENS = ("char", "word", "bpe")
UNKNOWN = "[UNK]"
UNKNOWN_ID = 0
_WORD = re.compile(r"\w+|[^\w\s]+")
"""What the tokenizer of words makes one token."""
TOKENIZER = "tokenizer.json"


class VectorConfig(Record):
    """Given word vectors, see `TextEncoder.add_words`.

    Attributes:
        known: number of tokens that were learnt from the training texts; the further ones have only a given vector.
        size: numbers of a given vector.
        lowercase: whether texts are read in lower case.
    """

    known: Size
    size: Size
    lowercase: Flag = False


class TextConfig(Record, tag="text", tag_field="kind"):
    """See `TextEncoder.to_config`."""

    tokens: Literal["char", "word", "bpe"]
    vocab_size: Size
    specials: list[str] = empty_list()
    vectors: VectorConfig | None = None

    def check(self) -> None:
        """See `Record.check`."""
        if self.vectors and self.tokens != "word":
            raise ValueError("vectors are for tokens that are words")


class TextEncoder:
    """A tokenizer of Hugging Face `tokenizers`, trained on the user's texts.

    Texts are NFC-normalised first, so that Hangul in single letters and in syllables gives the same tokens. Text that
    does not occur in the training data becomes the unknown token.

    Args:
        tokens: `"char"` (one per character), `"word"` (words and punctuation marks) or `"bpe"` (byte-pair
            encoding within words: a frequent word is one token, a rare word several).
        vocab_size: maximum number of different tokens.
        specials: tokens that represent no text, such as the beginning and the end of a sentence. They are numbered
            1, 2, … after the unknown token.
        alphabet: for `"bpe"`, maximum number of single characters among the tokens; None for half of `vocab_size`.
        apart: for `"bpe"`, True if a punctuation mark is always a separate token, as translation requires.
        lowercase: whether texts are read in lower case.

    Attributes:
        vectors: sizes of the given word vectors; None without.

    Example:
        >>> encoder = TextEncoder("char").fit([["좋은 영화", "나쁜 영화"]])
        >>> [ids.tolist() for ids in encoder.encode(["영화", "", "!"])]
        [[2, 3], [], [0]]
    """

    kind = config_kind = "text"
    dtype = np.int32
    features = 1

    def __init__(
        self,
        tokens: str = "bpe",
        vocab_size: int = 8000,
        specials: Sequence[str] = (),
        *,
        alphabet: int | None = None,
        apart: bool = False,
        lowercase: bool = False,
    ) -> None:
        if tokens not in TOKENS:
            raise UsageError(f"tokens is one of {', '.join(TOKENS)}, not {tokens!r}")
        if vocab_size < 2:
            raise UsageError(f"vocab_size must be at least 2, got {vocab_size}")
        self.tokens, self.vocab_size, self.specials = tokens, vocab_size, tuple(specials)
        self.alphabet = max(vocab_size // 2, 1) if alphabet is None else alphabet
        self.tokenizer = self._untrained()
        if apart and tokens == "bpe":
            _part_marks(self.tokenizer)
        self.lowercase = lowercase
        self.vectors: VectorConfig | None = None
        if lowercase:
            _lower(self.tokenizer)

    @property
    def input_size(self) -> int:
        """Number of different tokens."""
        return self.tokenizer.get_vocab_size()

    def fit(self, chunks: Iterable[Sequence[str]]) -> TextEncoder:
        """Learns the vocabulary from lists of texts.

        Raises:
            DataError: all texts are empty.
        """
        blank = True

        def noticing() -> Iterator[list[str]]:
            nonlocal blank
            for chunk in chunks:
                blank = blank and not any(text.strip() for text in chunk)
                yield _valid(chunk)

        self.tokenizer.train_from_iterator(noticing(), self._trainer())
        if blank:
            raise DataError("every text is empty: there is nothing to learn from")
        return self

    def _untrained(self) -> Tokenizer:
        return new_tokenizer(self.tokens)

    def _kinds(self) -> list[Tokenizer]:
        """Untrained tokenizers with the settings that one in a model folder may have."""
        kinds = [self._untrained()]
        if self.tokens == "bpe":
            kinds.append(_part_marks(self._untrained()))
        return [_lower(kind) for kind in kinds] if self.lowercase else kinds

    def _trainer(self) -> trainers.Trainer:
        special = [UNKNOWN, *self.specials]
        common = {"vocab_size": self.vocab_size, "special_tokens": special, "show_progress": False}
        if self.tokens == "bpe":
            # scripts with thousands of characters would fill the vocabulary with single characters
            return trainers.BpeTrainer(min_frequency=2, limit_alphabet=self.alphabet, **common)
        # characters and words that occur once become the unknown token, so that its embedding is trained
        return trainers.WordLevelTrainer(min_frequency=2, **common)

    def numbered(self) -> list[str]:
        """Returns the token of each number."""
        return [self.tokenizer.id_to_token(number) or "" for number in range(self.input_size)]

    def add_words(self, words: Iterable[str], size: int) -> None:
        """Adds words that have a given vector as tokens.

        Args:
            words: the words. Those that no text gives as one token are left out.
            size: numbers of a vector.
        """
        vocabulary = self.tokenizer.get_vocab()
        self.vectors = VectorConfig(len(vocabulary), size, self.lowercase)
        for word in words:
            key = normalize("NFC", word)
            if _WORD.fullmatch(key) and not (self.lowercase and key != key.lower()):
                vocabulary.setdefault(key, len(vocabulary))
        self.tokenizer.model = models.WordLevel(vocabulary, unk_token=UNKNOWN)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the token numbers of each text, an array `(time,)` each; an empty text gives an empty array."""
        found = self.tokenizer.encode_batch_fast(_valid(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=self.dtype) for encoding in found]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of token numbers, without special tokens."""
        pieces = [self.tokenizer.id_to_token(int(i)) or "" for i in ids if int(i) > len(self.specials)]
        if self.tokens == "bpe":
            return self.tokenizer.decoder.decode(pieces)
        return (" " if self.tokens == "word" else "").join(pieces)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Returns each token as readable text."""
        found = [self.tokenizer.id_to_token(int(i)) or "" for i in ids]
        return [piece.removeprefix("▁") or piece for piece in found] if self.tokens == "bpe" else found

    def shown(self, texts: Sequence[str]) -> list[list[str]]:
        """Returns the piece of the text for each token of each text, including unknown ones.

        Example:
            >>> TextEncoder("char").fit([["좋은 영화", "나쁜 영화"]]).shown(["영화!"])
            [['영', '화', '!']]
        """
        return [[text[begin:end].strip() or " " for begin, end in places] for text, places in self._placed(texts)]

    def word_numbers(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the number of the word of each token of each text. The space before a word belongs to the word.

        Example:
            >>> TextEncoder("char").fit([["좋은 영화", "나쁜 영화"]]).word_numbers(["좋은 영화"])
            [[0, 0, 1, 1, 1]]
        """
        return [_word_numbers(text, places) for text, places in self._placed(texts)]

    def _placed(self, texts: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Yields each text, normalised, with the begin and end of its tokens."""
        # normalised here: offsets of the tokenizer would refer to the text before normalisation
        texts = [normalize("NFC", text) for text in _valid(texts)]
        for text, found in zip(texts, self.tokenizer.encode_batch(texts, add_special_tokens=False), strict=True):
            # the mark of the beginning of a word is not in the text: it gets the place of the next token
            following = [begin for begin, _ in found.offsets[1:]] + [len(text)]
            places = zip(found.offsets, following, strict=False)
            yield text, [(begin, min(end, after)) for (begin, end), after in places]

    def to_files(self) -> dict[str, str]:
        """Returns the files of a model folder that hold the tokenizer."""
        return {TOKENIZER: self.tokenizer.to_str(pretty=False)}

    def to_config(self) -> dict:
        """Returns the settings that `from_files` needs in addition to the files."""
        return {
            "kind": self.config_kind,
            "tokens": self.tokens,
            "vocab_size": self.vocab_size,
            "specials": list(self.specials),
            **({} if self.vectors is None else {"vectors": plain(self.vectors)}),
        }

    @classmethod
    def from_files(cls, config: dict, files: dict[str, str], name: str = TOKENIZER) -> Self:
        """Rebuilds an encoder from `to_config` and `to_files`.

        Args:
            config: from `to_config`.
            files: the files of the model folder.
            name: name of the file with the tokenizer.

        Raises:
            FileError: the tokenizer is damaged, or not of this kind.
        """
        encoder = cls(config["tokens"], config["vocab_size"], config["specials"])
        vectors: Mapping[str, Any] | None = config.get("vectors")
        if vectors:
            encoder.vectors = VectorConfig(**vectors)
            encoder.lowercase = bool(encoder.vectors.lowercase)
        specials = [UNKNOWN, *encoder.specials]
        encoder.tokenizer = read_tokenizer(files[name], name, encoder._kinds(), specials)
        if encoder.vectors and not len(specials) <= encoder.vectors.known <= encoder.input_size:
            raise FileError(name, f"has {encoder.input_size:,} tokens, of which {encoder.vectors.known:,} were learnt")
        return encoder


def alphabet_size(chunks: Iterable[Sequence[str]], share: float = 0.9995) -> int:
    """Returns how many of the most common characters make up a share of the texts.

    Example:
        >>> alphabet_size([["aaab"], ["aaac"]], share=0.8)
        2
    """
    counts: Counter[str] = Counter()
    for chunk in chunks:
        counts.update(normalize("NFC", "".join(chunk)))
    running = accumulate(count for _, count in counts.most_common())
    return bisect_left(list(running), share * counts.total()) + 1


def new_tokenizer(tokens: str) -> Tokenizer:
    """Creates an untrained tokenizer of a kind."""
    if tokens == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer = Tokenizer(models.WordLevel({UNKNOWN: UNKNOWN_ID}, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = (
            pre_tokenizers.Whitespace()
            if tokens == "word"
            else pre_tokenizers.Split(Regex(r"(?m)."), behavior="isolated")
        )
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _lower(tokenizer: Tokenizer) -> Tokenizer:
    """Makes a tokenizer read texts in lower case."""
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    return tokenizer


def _part_marks(tokenizer: Tokenizer) -> Tokenizer:
    """Makes every punctuation mark a separate piece."""
    marks = pre_tokenizers.Punctuation("isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), marks])
    return tokenizer


def _word_numbers(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    found, number, end, blank = [], 0, 0, True
    for _, after in offsets:
        piece = text[end:after]  # includes characters that have no token
        if not blank and piece[:1].isspace():
            number, blank = number + 1, True
        blank = blank and not piece.strip()
        found.append(number)
        end = max(end, after)
    return found


def _valid(texts: Sequence[str]) -> list[str]:
    """Replaces lone surrogates, which have no UTF-8 form."""
    try:
        "".join(texts).encode()
        return list(texts)
    except UnicodeEncodeError:
        return [text.encode("utf-8", "replace").decode() for text in texts]
