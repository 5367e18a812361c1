"""Encodes running text as tokens from which the text can be restored; exactly, unless the tokens are words."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, cast

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from recurra._util.schema import FileError, Record, Size
from recurra.errors import UsageError

from .text import TOKENIZER, UNKNOWN, TextEncoder, new_tokenizer

TOKENS = ("char", "word", "bpe")
BEGIN, END = "[BEGIN]", "[END]"
BEGIN_ID, END_ID = 1, 2
PIECE = 512  # characters encoded as one piece; the tokenizer needs gigabytes of memory for megabytes of text at once
_PIECES = re.compile(rf".{{1,{PIECE - 1}}}\n|.{{1,{PIECE}}}(?=\s)|.{{1,{PIECE}}}", re.DOTALL)
_SPACES = Regex(r"[^\S\n]+")
_BYTES = 256


def pieces(text: str) -> list[str]:
    r"""Splits a text into pieces for the tokenizer: at line ends, and in long lines at spaces.

    Example:
        >>> pieces("one\ntwo\n" + "x" * 600)[0], [len(p) for p in pieces("one\ntwo\n" + "x" * 600)]
        ('one\ntwo\n', [8, 512, 88])
    """
    return _PIECES.findall(text)


class RunningTextConfig(Record, tag="plain", tag_field="kind"):
    """See `RunningTextEncoder.to_config`."""

    tokens: Literal["char", "word", "bpe"]
    vocab_size: Size
    specials: list[str]

    def check(self) -> None:
        """See `Record.check`."""
        if self.specials != [BEGIN, END]:
            raise ValueError(f"specials are not {BEGIN} and {END}")


class RunningTextEncoder(TextEncoder):
    r"""Encodes text as tokens from which it can be restored. Characters and byte-pair pieces keep all spaces.

    Texts are NFC-normalised first. Characters and words that occur less than twice in the training text are unknown.
    Byte-pair pieces consist of bytes, so they encode every character.

    Words are separated by spaces, as in Penn Treebank and WikiText. The end of a line is a token. The number of spaces
    between two words is not kept.

    Args:
        tokens: `"char"`, `"word"` or `"bpe"`.
        vocab_size: maximum number of different tokens; at least 259 for `"bpe"`, which has a token for every byte.
        specials: tokens before and after a text.

    Example:
        >>> encoder = RunningTextEncoder("bpe", 300).fit([["한국어  text\n\twith 😀"]])
        >>> encoder.decode(encoder.encode(["새  text\n😀"])[0])
        '새  text\n😀'
    """

    config_kind = "plain"

    def __init__(self, tokens: str = "char", vocab_size: int = 4000, specials: Sequence[str] = (BEGIN, END)) -> None:
        if tokens not in TOKENS:
            raise UsageError(f"tokens is one of {', '.join(TOKENS)}, not {tokens!r}")
        least = 1 + len(specials) + _BYTES
        if tokens == "bpe" and vocab_size < least:
            raise UsageError(f"with byte-pair pieces vocab_size must be at least {least}, got {vocab_size}")
        super().__init__(tokens, vocab_size, specials)

    @classmethod
    def from_files(cls, config: dict, files: dict[str, str], name: str = TOKENIZER) -> RunningTextEncoder:
        """Rebuilds an encoder from `to_config` and `to_files`."""
        encoder = cast(RunningTextEncoder, super().from_files(config, files, name))
        encoder.tokenizer.encode_special_tokens = True
        try:
            encoder.words  # noqa: B018  (computes them)
        except KeyError as error:
            raise FileError(name, f"does not fit: {error} is not a letter of byte-level pieces") from None
        return encoder

    def _untrained(self) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE()) if self.tokens == "bpe" else new_tokenizer("char")
        if self.tokens == "word":
            line_ends = pre_tokenizers.Split("\n", "isolated")
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([line_ends, pre_tokenizers.Split(_SPACES, "removed")])
        if self.tokens == "bpe":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.encode_special_tokens = (
            True  # "[END]" in a text is encoded as five characters, not as the special token
        )
        return tokenizer

    def _kinds(self) -> list[Tokenizer]:
        return [self._untrained()]

    def _trainer(self) -> trainers.Trainer:
        if self.tokens != "bpe":
            return super()._trainer()
        return trainers.BpeTrainer(
            min_frequency=2,
            vocab_size=self.vocab_size,
            special_tokens=[UNKNOWN, *self.specials],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )

    def fit(self, chunks: Iterable[Sequence[str]]) -> RunningTextEncoder:
        """Learns the vocabulary from lists of texts; see `TextEncoder.fit`."""
        vars(self).pop("words", None)
        super().fit(chunks)
        return self

    def stream(self, text: str) -> list[np.ndarray]:
        """Returns the token numbers of the pieces of one long text, arrays `(time,)`."""
        cut = pieces(unicodedata.normalize("NFC", text))
        return [ids for i in range(0, len(cut), 4096) for ids in self.encode(cut[i : i + 4096])]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of token numbers, without special and unknown tokens."""
        words = self.words
        text = b"".join(words[int(i)] for i in ids).decode("utf-8", "replace")
        return text.replace("\n ", "\n").removeprefix(" ") if self.tokens == "word" else text

    def writer(self) -> Writer:
        """Returns a writer that decodes token by token."""
        return Writer(self.words)

    @cached_property
    def words(self) -> list[bytes]:
        """The bytes of each token in UTF-8; empty for special and unknown tokens. Words have the space before them."""
        names = [self.tokenizer.id_to_token(i) or "" for i in range(self.input_size)]
        plain = names[1 + len(self.specials) :]
        alphabet = _byte_of() if self.tokens == "bpe" else None
        if self.tokens == "word":
            plain = [name if name == "\n" else f" {name}" for name in plain]
        found = [bytes(alphabet[c] for c in name) if alphabet else name.encode() for name in plain]
        return [b""] * (1 + len(self.specials)) + found

    @property
    def characters(self) -> np.ndarray:
        """Number of characters that begin in each token, `(tokens,)`. Their sum over a text is its length."""
        counts = [sum(byte & 0xC0 != 0x80 for byte in word) for word in self.words]
        if self.tokens == "char":
            counts[0] = 1
        return np.array(counts, np.float64)

    def unknown(self, text: str) -> list[str]:
        """Returns the distinct characters or words of a text that have no token, in order of appearance."""
        if self.tokens == "bpe":
            return []
        found: Iterable[str] = unicodedata.normalize("NFC", text)
        if self.tokens == "word":
            found = [word for word, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(found)]
        return [piece for piece in dict.fromkeys(found) if self.tokenizer.token_to_id(piece) is None]


class Writer:
    """Decodes token by token, and returns characters as soon as they are complete.

    Args:
        words: bytes of each token in UTF-8. A token may begin or end within a character.

    Example:
        >>> write = Writer(["한".encode()[:2], "한".encode()[2:], b"a"])
        >>> write.possible().tolist(), write(0), write.possible().tolist(), write(1)
        ([True, False, True], '', [False, True, False], '한')
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        self._words, self._decoder = words, codecs.getincrementaldecoder("utf-8")()
        self._possible: dict[bytes, np.ndarray] = {}

    def __call__(self, token: int) -> str:
        """Returns the text that a token completes. Raises UnicodeDecodeError if the token makes the text invalid."""
        return self._decoder.decode(self._words[token])

    @property
    def within(self) -> bool:
        """True if the text so far ends within a character."""
        return bool(self._decoder.getstate()[0])

    def possible(self) -> np.ndarray:
        """True for tokens that can come next in a valid text, `(tokens,)`."""
        prefix = self._decoder.getstate()[0]
        if len(prefix) > 1:  # from the second byte on, only the number of missing bytes matters
            prefix = b"\xe1" if prefix[0] >= 0xF0 and len(prefix) == 2 else b"\xc3"
        if prefix not in self._possible:
            self._possible[prefix] = np.array([_can_follow(prefix, word) for word in self._words])
        return self._possible[prefix]


def _can_follow(prefix: bytes, word: bytes) -> bool:
    """Returns whether `prefix + word` is a prefix of valid UTF-8."""
    try:
        (prefix + word).decode()  # the incremental decoder would accept half a surrogate and fail a byte later
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _byte_of() -> dict[str, int]:
    """Returns the byte of each letter of the byte-level alphabet: printable bytes are kept, others begin at 256."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(_BYTES) if b not in set(plain)]
    return {chr(b): b for b in plain} | {chr(_BYTES + i): b for i, b in enumerate(others)}


def documents(encoder: RunningTextEncoder, texts: Sequence[str]) -> list[np.ndarray]:
    """Returns the token numbers of each text, with a begin and an end token."""
    around = [np.array([i], encoder.dtype) for i in (BEGIN_ID, END_ID)]
    return [np.concatenate([around[0], ids, around[1]]) for ids in encoder.encode(texts)]
