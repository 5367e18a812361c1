"""Words and their characters as numbers."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from recurra.data.encoders.words import LONGEST, WordEncoder
from recurra.errors import ModelFolderError, UsageError

SENTENCES = [["나는", "간다"], [], ["나는", "나는", "온다"]]


def test_unknown_are_what_was_seen_once_and_unseen_what_was_not():
    found = WordEncoder().fit(SENTENCES).lexicon(["나는", "간다", "너는"])
    assert found.words.tolist() == [1, 0, 0]
    assert found.unseen.tolist() == [False, False, True]


def test_the_most_frequent_words_have_numbers():
    encoder = WordEncoder(vocab_size=1).fit([["a"] * 3 + ["b"] * 4])
    assert encoder.lexicon(["a", "b"]).words.tolist() == [0, 1]
    assert encoder.lexicon(["a"]).unseen.tolist() == [False]
    assert encoder.words == 2


def test_jamo_are_letters_and_char_are_syllables():
    jamo, char = (
        WordEncoder(kind).fit([["간다", "간다"]]).lexicon(["간다"]).characters[0] for kind in ("jamo", "char")
    )
    assert len({*jamo[:, 0], *char[:, 0]} - {0, 1}) >= 2
    assert (jamo > 0).sum(1).tolist() == [4, 3]  # ㄱㅏㄴ, ㄷㅏ
    assert (char > 0).sum(1).tolist() == [1, 1]
    assert jamo[0, 2] == jamo[1, 2]  # ㅏ
    assert len(WordEncoder("none").fit([["간다"]]).lexicon(["간다"]).characters[0]) == 0


@pytest.mark.parametrize("kind", ["jamo", "char"])
def test_composed_and_decomposed_are_the_same(kind):
    encoder = WordEncoder(kind).fit(SENTENCES)
    one, two = encoder.lexicon(["나는"]), encoder.lexicon([unicodedata.normalize("NFD", "나는")])
    assert one.fingerprint() == two.fingerprint()


def test_long_words_keep_both_ends():
    encoder = WordEncoder("char").fit([["abc" * 2]])
    found = encoder.lexicon(["a" + "b" * 1000 + "c"]).characters[0]
    short = encoder.lexicon(["abc"]).characters[0]
    assert (len(found), found[0, 0], found[-1, 0]) == (LONGEST, short[0, 0], short[-1, 0])


def test_encoders_are_rebuilt_from_files():
    encoder = WordEncoder("char", 5).fit([["나는", "나는", "\ud800", "龍"]])
    again = WordEncoder.from_files(encoder.to_config(), encoder.to_files())
    words = ["나는", "龍", "\ud800", "?"]
    assert again.lexicon(words).fingerprint() == encoder.lexicon(words).fingerprint()
    with pytest.raises(ModelFolderError, match=r"words\.json is damaged"):
        WordEncoder.from_files(encoder.to_config(), {"words.json": "{"})
    with pytest.raises(UsageError, match="characters is one of"):
        WordEncoder("letters")


def test_kinds_of_characters():
    encoder = WordEncoder("jamo").fit([["Ab1한!", "Ab1한!", "q"]])
    kinds = dict(zip("Ab1한!", encoder.kinds()[[encoder._signs[c] for c in "Ab1한!"]].tolist(), strict=True))
    assert kinds == {"A": 1, "b": 2, "1": 3, "한": 4, "!": 5}
    assert encoder.kinds()[:2].tolist() == [0, 5]  # none, and a character seen once


def test_numbers_of_words_and_signs():
    encoder = WordEncoder("char", 2)
    assert (encoder.words, encoder.signs, WordEncoder().characters, WordEncoder().vocab_size) == (1, 2, "jamo", 50_000)
    encoder.fit([["b", "a", "b", "a", "a", "c", "c", "d"]])
    assert encoder.lexicon("abcd").words.tolist() == [1, 2, 0, 0]
    assert encoder.lexicon("abcde").unseen.tolist() == [False] * 4 + [True]
    assert [int(c[0, 0]) for c in encoder.lexicon("abcdx").characters] == [2, 3, 4, 1, 1]
    assert (encoder.words, encoder.signs) == (3, 5)
    assert encoder.lexicon(["a"]).characters[0].tolist() == [[2, 0, 0, 0]]
    assert encoder.lexicon(["a"]).characters[0].dtype == np.int32


def test_letters_of_a_sign_are_limited():
    encoder = WordEncoder().fit([["각"] * 2])
    assert encoder.shown(["각a"]) == [["각", "a"]]
    assert encoder._spell("각") == [["각", "\u1100", "\u1161", "\u11a8"]]
    assert encoder._spell("a") == [["a"]]
    assert encoder._spell("ấ") == [["ấ", "a", "\u0302", "\u0301"]]
    assert len(encoder._spell("ᾧ")[0]) == 4  # four letters, of which three are read


def test_words_up_to_a_length_are_read_whole():
    encoder = WordEncoder("char").fit([["a"]])
    for length in (LONGEST - 1, LONGEST):
        word = "a" * (length - 1) + "b"
        assert "".join(encoder.shown([word])[0]) == word
    long = "a" * 32 + "x" + "b" * 32
    assert "".join(encoder.shown([long])[0]) == "a" * 32 + "b" * 32
    assert LONGEST == 64
