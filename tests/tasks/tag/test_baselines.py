"""The linear model beside a tagger: what it reads, its bounds, and its place in the model folder."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

import recurra
from recurra import SequenceTagger
from recurra.data.encoders.tag_schemes import OUT, Scheme
from recurra.errors import ModelFolderError
from recurra.tasks.tag import baselines as linear_tags
from recurra.tasks.tag.baselines import ABSENT, UNIT, fit_linear_tags

NAME = "logistic regression on words"
QUICK = {"hidden_size": 4, "epochs": 1, "verbose": 0}
BEFORE = [["the", "light"], ["to", "light"], ["see", "the", "light"], ["go", "to", "light"]] * 20
BEFORE_TAGS = [["D", "N"], ["T", "V"], ["V", "D", "N"], ["V", "T", "V"]] * 20


def linear(model):
    return next(b for b in model.baselines_ if b.name == NAME)


def batches(model, words, tags, seed=None):
    return model._batches(words, tags, seed, None)


def scores_of(baseline, model, words):
    return baseline(next(iter(batches(model, words, None))))[0, : len(words[0])]


def test_it_reads_the_neighbours():
    model = SequenceTagger(**QUICK).fit(BEFORE, BEFORE_TAGS)
    found = model.evaluate(BEFORE, BEFORE_TAGS)["baselines"]
    assert found["most frequent tag of each word"]["accuracy"] < 0.9
    assert found[NAME]["accuracy"] == 1
    assert model.metrics_["baselines"][NAME]["accuracy"] == 1


@pytest.mark.parametrize(("order", "before"), [((0, 1, 2), True), ((2, 1, 0), False)])
def test_it_reads_two_words_before_and_after(order, before):
    sentences = [[["one", "and", "same"], ["two", "and", "same"]][i % 2] for i in range(60)]
    tags = [["X", "X", "PQ"[i % 2]] for i in range(60)]
    words = [[row[i] for i in order] for row in sentences]
    given = [[row[i] for i in order] for row in tags]
    model = SequenceTagger(**QUICK).fit(words, given)
    assert model.evaluate(words, given)["baselines"][NAME]["accuracy"] == 1


def test_it_judges_unknown_words_by_their_ends():
    random = np.random.default_rng(0)
    letters = list("가나다라마바사아자차카타파하")

    def made(count):
        stems = ["".join(random.choice(letters, 3)) for _ in range(count)]
        ends = ["었다" if i % 3 else "에서" for i in range(count)]
        return [[stem + end] for stem, end in zip(stems, ends, strict=True)], [[end] for end in ends]

    model = SequenceTagger(**QUICK).fit(*made(200))
    found = model.evaluate(*made(60))["baselines"]
    assert found[NAME]["unseen_word_accuracy"] == 1
    assert found["most frequent tag of each word"]["unseen_word_accuracy"] < 0.8


@pytest.mark.parametrize("characters", ["jamo", "char", "none"])
def test_scores_do_not_depend_on_the_batch(characters):
    model = SequenceTagger(**QUICK, characters=characters).fit(BEFORE, BEFORE_TAGS)
    sentences = [["the", "light"], ["go", "to", "a", "much", "longer", "sentence"], ["light"]]
    together = next(iter(batches(model, sentences, None)))
    scores = linear(model)(together)
    for row, place in zip(scores, together.rows.tolist(), strict=True):
        sentence = sentences[place]
        assert torch.equal(row[: len(sentence)], scores_of(linear(model), model, [sentence]))
        assert not row[len(sentence) :].any()


def test_characters_are_not_needed():
    model = SequenceTagger(**QUICK, characters="none").fit(BEFORE, BEFORE_TAGS)
    assert model.evaluate(BEFORE, BEFORE_TAGS)["baselines"][NAME]["accuracy"] == 1


def test_the_order_of_the_training_batches_does_not_matter():
    model = SequenceTagger(**QUICK).fit(BEFORE, BEFORE_TAGS)
    kinds, tags = model.encoder_.kinds(), len(model.classes_)
    one, other = (batches(model, BEFORE, BEFORE_TAGS, seed) for seed in (1, 2))
    next(iter(other))
    found = [fit_linear_tags(b, kinds, tags)[0].to_dict() for b in (one, other)]
    assert found[0] == found[1]
    assert other.batches.position == 1  # the run's place in its data is not touched


@pytest.mark.parametrize("crf", [False, True])
def test_spans_are_decoded_validly(crf):
    random = np.random.default_rng(0)
    pieces = [(["New", "York"], ["B-LOC", "I-LOC"]), (["Ann", "Lee"], ["B-PER", "I-PER"]), (["saw"], ["O"])]
    rows = [[pieces[i] for i in random.integers(0, 3, 4)] for _ in range(100)]
    X, y = ([[part for piece in row for part in piece[side]] for row in rows] for side in (0, 1))
    model = SequenceTagger(**QUICK, crf=crf).fit(X, y)
    objective, scheme = model._objective(), Scheme(model.scheme_)
    allowed = [[scheme.allows(a, b) for b in [*model.parts_, OUT]] for a in [*model.parts_, OUT]]
    broken = 0
    others = [list(random.permutation(row)) for row in X]
    for batch in batches(model, others, y):
        scores = linear(model)(batch)
        observed = linear(model).observe(objective, batch)
        ends = np.cumsum(observed.lengths)
        for row, start, end in zip(scores.argmax(2).tolist(), ends - observed.lengths, ends, strict=True):
            path = [-1, *observed.found[start:end], -1]
            assert all(allowed[a][b] for a, b in pairwise(path))
            broken += not all(allowed[a][b] for a, b in pairwise([-1, *row, -1]))
    assert broken  # the best tags one by one would not do


def test_of_many_sentences_some_are_taken(monkeypatch):
    monkeypatch.setattr(linear_tags, "MAX_WORK", 4 * 50)
    model = SequenceTagger(**QUICK, validation_fraction=0).fit(BEFORE, BEFORE_TAGS)  # 200 words, 4 tags
    note = linear(model).note
    count = int(note.split()[2])
    assert note == f"fitted on {count} of 80 sentences"
    assert 15 <= count <= 25  # 50 words, of sentences of 2.5 words each
    monkeypatch.setattr(linear_tags, "MAX_WORDS", 2)
    assert fit_linear_tags(batches(model, BEFORE[2:], BEFORE_TAGS[2:]), model.encoder_.kinds(), 4)
    assert not fit_linear_tags(batches(model, BEFORE[2:4], BEFORE_TAGS[2:4]), model.encoder_.kinds(), 4)  # 3 words each


def test_the_most_frequent_tags_are_given(monkeypatch):
    monkeypatch.setattr(linear_tags, "MAX_TAGS", 2)
    model = SequenceTagger(**QUICK, validation_fraction=0).fit(BEFORE, BEFORE_TAGS)
    found = linear(model)
    assert found.note == "gives the 2 most frequent tags only"
    assert [tag for tag, bias in zip(model.classes_, found.bias, strict=True) if bias != ABSENT] == ["D", "V"]
    scores = scores_of(found, model, [["go", "to", "light"]])
    assert (scores[:, model.classes_ == "N"] == ABSENT / UNIT).all()
    assert model.classes_[scores.argmax(1)].tolist()[::2] == ["V", "V"]


def test_the_largest_weights_are_kept(monkeypatch):
    whole = linear(SequenceTagger(**QUICK).fit(BEFORE, BEFORE_TAGS))
    monkeypatch.setattr(linear_tags, "MAX_WEIGHTS", 10)
    found = linear(SequenceTagger(**QUICK).fit(BEFORE, BEFORE_TAGS))
    assert len(found.weights) == len(found.places) == 10
    assert np.abs(found.weights).min() == np.sort(np.abs(whole.weights))[-10]
    assert set(zip(found.places, found.weights, strict=True)) <= set(zip(whole.places, whole.weights, strict=True))


def test_two_tags_missing_tags_and_one_tag():
    tags = [[tag if tag == "N" else "X" for tag in row] for row in BEFORE_TAGS]
    tags[0] = [None, None]
    model = SequenceTagger(**QUICK).fit(BEFORE, tags)
    assert model.evaluate(BEFORE, tags)["baselines"][NAME]["accuracy"] == 1
    only = [["X" if tag == "X" else None for tag in row] for row in tags]
    assert fit_linear_tags(batches(model, BEFORE, only), model.encoder_.kinds(), 2) == []


def test_a_folder_without_a_linear_model_loads(tmp_path):
    model = SequenceTagger(**QUICK).fit(BEFORE, BEFORE_TAGS)
    model.save(tmp_path / "m")
    kept = tmp_path / "m" / "baselines.json"
    kept.write_text(json.dumps([row for row in json.loads(kept.read_text()) if row["kind"] != "LinearTags"]))
    found, expected = recurra.load(tmp_path / "m").evaluate(BEFORE, BEFORE_TAGS), model.evaluate(BEFORE, BEFORE_TAGS)
    assert set(expected["baselines"]) - set(found["baselines"]) == {NAME}
    assert found["accuracy"] == expected["accuracy"]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row["places"].reverse(),
        lambda row: row["places"].pop(),
        lambda row: row["places"].__setitem__(-1, linear_tags.BUCKETS * 4),
        lambda row: row["places"].__setitem__(0, -1),
        lambda row: row["weights"].__setitem__(0, 0.5),
        lambda row: row["weights"].__setitem__(0, "1"),
        lambda row: row["bias"].pop(),
        lambda row: row["bias"].__setitem__(0, 0.5),
        lambda row: row["kinds"].pop(),
        lambda row: row["kinds"].__setitem__(0, 0.5),
        lambda row: row.pop("kinds"),
    ],
)
def test_a_damaged_linear_model_is_refused(tmp_path, change):
    model = SequenceTagger(**QUICK).fit(BEFORE, BEFORE_TAGS)
    model.save(tmp_path / "m")
    kept = tmp_path / "m" / "baselines.json"
    rows = json.loads(kept.read_text())
    change(next(row for row in rows if row["kind"] == "LinearTags"))
    kept.write_text(json.dumps(rows))
    with pytest.raises(ModelFolderError, match="baseline"):
        recurra.load(tmp_path / "m")
