"""Tokenizers trained on the user's texts."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from recurra.data.encoders.text import TextEncoder, alphabet_size
from recurra.errors import DataError, ModelFolderError

TEXTS = ["정말 재미있는 영화", "정말 재미없는 영화", "a fine film, a fine cast"] * 3


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
def test_saved_and_loaded_encoders_agree(tokens):
    encoder = TextEncoder(tokens, 200).fit([TEXTS])
    again = TextEncoder.from_files(encoder.to_config(), encoder.to_files())
    texts = [*TEXTS, "새로운 말 new", "", "🎬"]
    for left, right in zip(encoder.encode(texts), again.encode(texts), strict=True):
        np.testing.assert_array_equal(left, right)
    assert again.input_size == encoder.input_size


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
def test_training_twice_gives_the_same_vocabulary(tokens):
    assert TextEncoder(tokens, 60).fit([TEXTS]).to_files() == TextEncoder(tokens, 60).fit([TEXTS]).to_files()


def test_characters_keep_every_character():
    text = "ab c\n\td"
    encoder = TextEncoder("char").fit([[text] * 2])
    assert len(encoder.encode([text])[0]) == len(text)
    assert 0 not in encoder.encode([text])[0]


def test_words_and_punctuation_are_apart():
    encoder = TextEncoder("word").fit([["good, good film!"] * 2])
    good, comma, good_again, film, mark = encoder.encode(["good, good film!"])[0]
    assert good == good_again
    assert len({good, comma, film, mark}) == 4


def test_frequent_words_become_one_piece():
    encoder = TextEncoder("bpe", 500).fit([["영화 재미 영화 재미있다"] * 20])
    assert len(encoder.encode(["영화"])[0]) == 1


def test_decomposed_hangul_is_the_same():
    text = "재미있는 영화"
    encoder = TextEncoder("bpe", 100).fit([TEXTS])
    composed, decomposed = encoder.encode([text, unicodedata.normalize("NFD", text)])
    np.testing.assert_array_equal(composed, decomposed)


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
def test_what_was_never_seen_is_unknown(tokens):
    encoder = TextEncoder(tokens, 100).fit([TEXTS])
    assert 0 in encoder.encode(["龍"])[0]
    assert len(encoder.encode([""])[0]) == 0


def test_vocabulary_stays_within_its_size():
    assert TextEncoder("bpe", 40).fit([TEXTS]).input_size <= 40
    assert TextEncoder("char", 10).fit([TEXTS]).input_size <= 10


def test_lone_surrogates_are_accepted():
    encoder = TextEncoder("char").fit([["ab", "ab\ud800"]])
    assert len(encoder.encode(["a\ud800b"])[0]) == 3


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
def test_all_empty_texts_are_refused(tokens):
    with pytest.raises(DataError, match="every text is empty"):
        TextEncoder(tokens).fit([["", " \n"]])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="char, word, bpe"):
        TextEncoder("syllable")
    with pytest.raises(ValueError, match="at least 2"):
        TextEncoder("char", 1)


def test_damaged_tokenizer_is_named():
    encoder = TextEncoder("char").fit([TEXTS])
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json is damaged"):
        TextEncoder.from_files(encoder.to_config(), {"tokenizer.json": encoder.to_files()["tokenizer.json"][:50]})


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
def test_specials_come_after_the_unknown_token_and_are_not_part_of_the_text(tokens):
    texts = ["good film so good", "so good a film"]
    encoder = TextEncoder(tokens, 200, specials=["[BOS]", "[EOS]"]).fit([texts])
    ids = encoder.encode(texts)[0].tolist()
    assert min(ids) > 2
    assert encoder.decode([1, *ids, 2]) == texts[0]
    again = TextEncoder.from_files(encoder.to_config(), encoder.to_files())
    assert again.specials == ("[BOS]", "[EOS]")
    assert again.decode([1, *ids, 0]) == texts[0]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("bpe", [[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1]]),
        ("word", [[0, 1, 1], [0]]),
        ("char", [[0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1]]),
    ],
)
def test_which_word_a_token_belongs_to(tokens, expected):
    encoder = TextEncoder(tokens).fit([["화영", "다좋!"]])  # nothing that makes whole words
    assert encoder.word_numbers(["영화  좋다!", " 영화\t", ""]) == [*expected, []]
    apart = unicodedata.normalize("NFD", "영화 좋다")  # letters of Hangul one by one
    assert encoder.word_numbers([apart]) == encoder.word_numbers(["영화 좋다"])


@pytest.mark.parametrize("tokens", ["bpe", "word", "char"])
def test_what_is_shown_of_a_text(tokens):
    encoder = TextEncoder(tokens).fit([["화영", "다좋!"]])
    apart = unicodedata.normalize("NFD", "영화 좋다")
    assert encoder.shown([apart]) == encoder.shown(["영화 좋다"])
    assert "".join(encoder.shown(["영화 좋다"])[0]).replace(" ", "") == "영화좋다"  # nothing twice, nothing lost


def test_numbers_of_tokens():
    encoder = TextEncoder("char", specials=["[BOS]"]).fit([["aab", "ab"]])
    assert encoder.encode(["ba?"])[0].tolist() == [3, 2, 0]
    assert encoder.encode(["ba"])[0].dtype == np.int32
    assert encoder.input_size == 4
    assert (encoder.kind, encoder.features, encoder.vocab_size) == ("text", 1, 8000)
    assert encoder.decode([0, 1, 2, 3]) == "ab"
    assert encoder.pieces([0, 1, 2, 99]) == ["[UNK]", "[BOS]", "a", ""]
    assert encoder.decode([99, 2]) == "a"
    words = TextEncoder("word", 50).fit([["so good", "so good"]])
    assert words.decode(words.encode(["good so"])[0]) == "good so"
    pieces = TextEncoder("bpe", 200).fit([["good film"] * 9])
    ids = pieces.encode(["good film"])[0]
    assert pieces.decode(ids) == "good film"
    assert pieces.pieces(ids) == ["good", "film"]
    assert pieces.pieces(pieces.encode(["  "])[0])[:1] == ["▁"]


def test_what_is_seen_once_is_unknown():
    for tokens in ("char", "word"):
        encoder = TextEncoder(tokens).fit([["a a b"]])
        assert encoder.encode(["b"])[0].tolist() == [0]
        assert encoder.encode(["a"])[0].tolist() != [0]


def test_the_alphabet_is_limited():
    texts = [["abcdefgh" * 3] * 2]
    assert TextEncoder("bpe", 40).alphabet == 20
    assert TextEncoder("bpe", 2).alphabet == 1
    assert TextEncoder("bpe", 40, alphabet=3).alphabet == 3
    few = TextEncoder("bpe", 40, alphabet=3).fit(texts)
    signs = [token for token in few.tokenizer.get_vocab() if len(token) == 1]
    assert len(signs) == 3


def test_punctuation_marks_may_be_apart():
    texts = [["so. so. so."] * 9]
    together, apart = (TextEncoder("bpe", 60, apart=flag).fit(texts) for flag in (False, True))
    assert len(together.encode(["so."])[0]) == 1
    assert len(apart.encode(["so."])[0]) == 2
    assert len(TextEncoder("bpe", 60).fit(texts).encode(["so."])[0]) == 1
    again = TextEncoder.from_files(apart.to_config(), apart.to_files())
    assert len(again.encode(["so."])[0]) == 2
    TextEncoder("char", apart=True).fit(texts)


def test_the_shares_of_common_characters():
    texts = [["aaaa"], ["bbb", "cc"], ["d"]]
    assert [alphabet_size(texts, share) for share in (0.3, 0.4, 0.41, 0.7, 0.9, 1.0)] == [1, 1, 2, 2, 3, 4]
    assert alphabet_size([["가"] * 9 + ["\u1100\u1161"]]) == 1
    assert alphabet_size([["a" * 9999, "b"]]) == 1
    assert alphabet_size([["a" * 1000, "b"]]) == 2


def test_words_of_tokens_with_characters_that_have_no_token():
    encoder = TextEncoder("word").fit([["a b a b"]])
    assert encoder.word_numbers(["a b", "a  b\n a", "", " a"]) == [[0, 1], [0, 1, 2], [], [0]]
    assert encoder.shown(["a bc"]) == [["a", "bc"]]
    char = TextEncoder("char").fit([["a b"] * 2])
    assert char.shown(["a b"]) == [["a", " ", "b"]]
    assert char.word_numbers([" a b"]) == [[0, 0, 1, 1]]


def test_smallest_vocabulary_and_configuration():
    assert TextEncoder("char", 2).vocab_size == 2
    encoder = TextEncoder("word", 30, ["[X]"])
    assert encoder.to_config() == {"kind": "text", "tokens": "word", "vocab_size": 30, "specials": ["[X]"]}
    with pytest.raises(DataError, match="every text is empty"):
        encoder.fit([["", " "], ["\t"]])
    assert encoder.fit([[""], ["a a"], [""]]) is encoder
