"""Batches of sentences of words."""

from __future__ import annotations

import numpy as np
import torch

from recurra.data.batching.batches import IGNORE, Batches, Shuffled
from recurra.data.batching.store import SequenceStore
from recurra.data.batching.words import WordBatches
from recurra.data.encoders.words import WordEncoder

SENTENCES = [["나는", "간다"], [], ["나는", "나는", "온다"]]


def batches(sentences, encoder, tags=None, **options):
    places: dict[str, int] = {}
    rows = [np.array([places.setdefault(w, len(places)) for w in s], np.int64) for s in sentences]
    targets = None if tags is None else SequenceStore.build([[np.array(t, np.int64) for t in tags]])
    source = Batches(SequenceStore.build([rows]), targets=targets, **{"batch_size": 2, **options})
    return WordBatches(source, encoder.lexicon(places or [""])), list(places)


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
        assert all((a is b is None) or torch.equal(a, b) for a, b in zip(one, two, strict=True))
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


def test_the_words_of_all_sentences_in_their_order():
    encoder = WordEncoder("char").fit([["ab", "ab", "b", "b"]])
    source, words = batches([["b", "ab"], ["zz"]], encoder, batch_size=1)
    batch = source.whole()
    assert (words, source.count, len(source)) == (["b", "ab", "zz"], 3, 2)
    assert batch.values.tolist() == [[0, 1], [2, 0]]
    assert batch.words.tolist() == [2, 1, 0]
    assert batch.unseen.tolist() == [False, False, True]
    assert batch.character_lengths.tolist() == [1, 2, 2]
    assert batch.rows.tolist() == [0, 1]
    assert batch.targets is None
    lexicon = encoder.lexicon(words)
    assert len({lexicon.fingerprint(), lexicon._replace(unseen=~lexicon.unseen).fingerprint()}) == 2
    assert encoder.lexicon([]).fingerprint() == encoder.lexicon([]).fingerprint()
    spelt = encoder.lexicon(["ab"]).characters[0]
    same = [lexicon._replace(characters=[spelt[:n], spelt[n:]]) for n in (0, 1)]
    assert same[0].fingerprint() != same[1].fingerprint()
