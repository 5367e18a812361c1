"""Taggers with features of a language model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra
from recurra import BlankFiller, LanguageModel, SequenceTagger
from recurra.errors import UsageError

TEXTS = ["a cat sat on the mat", "the dog ran", "a cat ran", "the dog sat"] * 10
WORDS = [text.split() for text in TEXTS]
TAGS = [[word[0] for word in words] for words in WORDS]
QUICK = {"epochs": 1, "batch_size": 16, "verbose": 0}
SMALL = {**QUICK, "hidden_size": 5, "embedding_size": 4, "num_layers": 2}


@pytest.fixture(scope="module")
def filler():
    return BlankFiller(tokens="char", **SMALL).fit(TEXTS)


@pytest.fixture(scope="module")
def tagger(filler):
    return SequenceTagger(start_from=filler, hidden_size=6, **QUICK).fit(WORDS, TAGS)


def features(tagger, sentences):
    with torch.inference_mode():
        return tagger.network_.eval().reader(tagger._batches(sentences, None, None, None).whole())


def test_features_are_states_at_the_borders_of_words(filler, tagger):
    """The forward layers have read up to the end of the word, the backward ones up to the space before it."""
    sentence = ["the", "", "cat"]
    found = features(tagger, [sentence, [], ["mat", "on", "a", "zebra"]])
    assert found.shape == (3, 4, 10)
    network = filler.network_.eval()
    ids = torch.from_numpy(np.concatenate(filler.encoder_.encode_part(" the  cat", False)[None]))
    assert len(ids) == 9
    with torch.inference_mode():
        before = network.forwards(network.embedding(ids)[None])[0][0]
        after = network.backwards(network.embedding(ids.flip(0))[None])[0][0].flip(0)
    borders = [(3, 0), (4, 4), (8, 5)]  # last and first token of each word
    wanted = torch.stack([torch.cat([before[last], after[first]]) for last, first in borders])
    torch.testing.assert_close(found[0, :3], wanted)


def test_the_weights_of_the_language_model_do_not_change(filler, tagger):
    weights = tagger.network_.reader.recurrent.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in filler.language().recurrent().items())


def test_saved_and_continued(tagger, tmp_path):
    tagger.save(tmp_path / "model")
    loaded = recurra.load(tmp_path / "model")
    assert loaded.predict([*WORDS, []]) == tagger.predict([*WORDS, []])
    more = SequenceTagger(start_from=loaded, **QUICK).fit([*WORDS, ["zoo"]], [*TAGS, ["z"]])
    assert more.classes_.tolist() == sorted([*tagger.classes_.tolist(), "z"])
    torch.testing.assert_close(features(more, WORDS), features(tagger, WORDS))


def test_a_model_of_one_direction_gives_its_states_only():
    model = LanguageModel(tokens="bpe", vocab_size=270, **SMALL).fit(TEXTS)
    tagger = SequenceTagger(start_from=model, hidden_size=6, **QUICK).fit(WORDS, TAGS)
    assert features(tagger, [["a"]]).shape == (1, 1, 5)


def test_what_it_cannot_do_is_said(tagger, tmp_path):
    with pytest.raises(UsageError, match="features of a language model cannot be exported"):
        recurra.export(tagger, tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="features of a language model cannot run step by step"):
        tagger.service().stepper()
