"""Words and their characters as numbers, sentences as lists, and batches of both."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from recurra.data.batching.batches import IGNORE, Batches, Shuffled
from recurra.data.batching.store import SequenceStore
from recurra.data.columns.sentences import as_sentences, as_tags
from recurra.data.encoders.words import LONGEST, WordBatches, WordEncoder
from recurra.errors import DataError, ModelFolderError, UsageError

SENTENCES = [["나는", "간다"], [], ["나는", "나는", "온다"]]


def batches(sentences, encoder, tags=None, **options):
    places: dict[str, int] = {}
    rows = [np.array([places.setdefault(w, len(places)) for w in s], np.int64) for s in sentences]
    targets = None if tags is None else SequenceStore.build([[np.array(t, np.int64) for t in tags]])
    source = Batches(SequenceStore.build([rows]), targets=targets, **{"batch_size": 2, **options})
    return WordBatches(source, encoder.lexicon(places or [""])), list(places)


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


def test_batches_hold_each_word_once():
    encoder = WordEncoder("char").fit(SENTENCES)
    source, words = batches(SENTENCES, encoder, [[0, 1], [], [0, IGNORE, 2]], batch_size=3)
    (batch,) = source
    assert sorted(batch.lengths.tolist()) == [0, 2, 3]
    assert (len(source), source.count) == (1, 4)
    lexicon = encoder.lexicon(words)
    for row, values, length in zip(batch.rows.tolist(), batch.values, batch.lengths.tolist(), strict=True):
        for word, place in zip(SENTENCES[row], values[:length].tolist(), strict=True):
            index = words.index(word)
            assert batch.words[place] == lexicon.words[index]
            spelt = batch.characters[place, : batch.character_lengths[place]]
            assert spelt.tolist() == lexicon.characters[index].tolist()
        assert values[length:].eq(0).all()
    assert len(batch.words) == 3


def test_batches_of_nothing_but_empty_sentences():
    source, _ = batches([[], []], WordEncoder().fit(SENTENCES))
    (batch,) = source
    assert batch.values.shape == (2, 0)
    assert source.count == 0


def test_seek_and_shuffled():
    random = np.random.default_rng(0)
    sentences = [["나는", "간다", "온다"][: random.integers(1, 4)] for _ in range(20)]
    tags = [list(range(len(s))) for s in sentences]
    encoder = WordEncoder("char").fit(sentences)
    source, _ = batches(sentences, encoder, tags, shuffle=True)
    first = [*source, *source]
    source.seek(13)
    for one, two in zip([*source], first[13:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    source.seek(0)
    moved = list(Shuffled(source, aligned=True))
    for batch in moved:  # tag 0 belongs to the first word wherever it went
        real = batch.targets != IGNORE
        numbers = {(int(t), int(batch.words[v])) for t, v in zip(batch.targets[real], batch.values[real], strict=True)}
        assert len(numbers) == len({t for t, _ in numbers})


def test_fingerprints_tell_words_apart():
    encoder = WordEncoder("char").fit([["ab", "ba", "ab", "ba", "a"]])
    prints = {batches([[word, "a"]], encoder)[0].fingerprint() for word in ("ab", "ba", "ax", "zz")}
    assert len(prints) == 4


# what a user hands over


@pytest.mark.parametrize(
    "X",
    [
        [["New York", "sleeps"], ["so", "do", "I"], []],
        [("New York", "sleeps"), "so do I", ""],
        [np.array(["New York", "sleeps"]), np.array(["so", "do", "I"]), np.array([], str)],
        pa.array([["New York", "sleeps"], ["so", "do", "I"], None]),
        pa.chunked_array([[["New York", "sleeps"], ["so", "do", "I"], []]]),
        pd.Series([["New York", "sleeps"], "so do I", None]),
        np.array([["New York", "sleeps"], ["so", "do", "I"], []], dtype=object),
    ],
)
def test_sentences_of_every_kind(X):
    assert as_sentences(X) == [["New York", "sleeps"], ["so", "do", "I"], []]


@pytest.mark.parametrize(
    ("X", "message"),
    [("a text", "X is one text"), ([], "X is empty"), (None, "X is empty"), ([3], r"X\[0\] is no list of words"),
     ([["a"], ["b", 3.0]], r"X\[1\]\[1\] is no word but float")],
)  # fmt: skip
def test_other_sentences_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        as_sentences(X)


def test_tags():
    words = [["a", "b"], ["c"], []]
    assert as_tags([["X", None], [3], []], words, "y") == [["X", None], ["3"], []]
    assert as_tags([["X", float("nan")], [""], []], words, "y") == [["X", None], [None], []]
    assert as_tags(pa.array([["X", "Y"], [None], []]), words, "y") == [["X", "Y"], [None], []]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["X", "Y"]], "3 sentences but y has 1 lists of tags"),
        (None, "3 sentences but y has no tags"),
        ([["X"], ["Y"], []], r"X\[0\] has 2 words but y\[0\] has 1 tags"),
        ([["X", "Y"], "Z", []], r"y\[1\] is no list of tags but str"),
    ],
)
def test_other_tags_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        as_tags(y, [["a", "b"], ["c"], []], "y")


def test_kinds_of_characters():
    encoder = WordEncoder("jamo").fit([["Ab1한!", "Ab1한!", "q"]])
    kinds = dict(zip("Ab1한!", encoder.kinds()[[encoder._signs[c] for c in "Ab1한!"]].tolist(), strict=True))
    assert kinds == {"A": 1, "b": 2, "1": 3, "한": 4, "!": 5}
    assert encoder.kinds()[:2].tolist() == [0, 5]  # none, and a character seen once
