"""The baselines of the tasks whose answers are sequences, and the verdict on the network beside them."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import recurra
from recurra import BlankFiller, Forecaster, LanguageModel, SequenceTagger, Transcriber, Translator
from recurra._util.schema import FileError
from recurra.errors import ModelFolderError
from recurra.inspect import health
from recurra.tasks.baselines import dump, parse

QUICK = {"hidden_size": 4, "epochs": 1, "verbose": 0}
TEXT = "the cat sat on the mat and the dog ran far away. " * 60


def test_a_language_model_beside_frequencies(tmp_path):
    model = LanguageModel(**QUICK, bptt=16).fit(TEXT)
    found = model.evaluate(TEXT)
    alone, pairs = found["baselines"]["frequency of the tokens"], found["baselines"]["frequency of pairs of tokens"]
    training = TEXT[: model.data_["characters"]]
    counts = Counter(training)
    total, size = len(training) + model.encoder_.input_size, model.encoder_.input_size
    expected = np.mean([-np.log((counts[letter] + 1) / total) for letter in TEXT])
    assert size > len(counts)
    assert alone["loss"] == pytest.approx(expected, rel=1e-6)
    assert pairs["loss"] < alone["loss"] / 2
    assert found["baselines"]["frequency of sequences of three tokens"]["loss"] < pairs["loss"]
    assert pairs["perplexity"] == pytest.approx(np.exp(pairs["loss"]))
    assert found["comparison"]["light"] == "red"
    assert model.metrics_["comparison"]["light"] == "red"
    model.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").evaluate(TEXT) == found
    assert health(model)["baselines"].light == "red"


def test_the_frequencies_of_pairs_are_probabilities():
    from recurra.tasks.counts import PairFrequency

    counts, pairs = np.array([3, 0, 5]), np.array([0 * 3 + 2, 2 * 3 + 0, 2 * 3 + 2])
    baseline = PairFrequency("", "", counts, pairs, np.array([3, 2, 1]))
    for before in range(3):
        after = np.arange(3)
        assert np.exp(baseline.log_probability(np.full(3, before), after)).sum() == pytest.approx(1)


def batch_of(tokens):
    values = torch.from_numpy(tokens)
    return SimpleNamespace(values=values[:, :-1], targets=values[:, 1:])


@pytest.mark.parametrize("most", [200_000, 12])
def test_the_frequencies_of_triples_are_probabilities_also_if_most_are_left_out(monkeypatch, most):
    from recurra.tasks import counts

    monkeypatch.setattr(counts, "MAX_TRIPLES", most)
    tokens = np.random.default_rng(0).integers(0, 5, (6, 30))
    tokens[:, 2:][(tokens[:, :-2] == 1) & (tokens[:, 1:-1] == 2)] = 3
    triples = counts.fit_frequencies([batch_of(tokens)], 6)[2]
    assert len(triples.triples) <= most
    after = np.arange(6)
    for second in range(-1, 6):
        for before in range(6):
            found = np.exp(triples.log_probability(np.full(6, before), after, np.full(6, second)))
            assert found.sum() == pytest.approx(1)
            if (second, before) == (1, 2):
                assert found[3] > 0.7
    (again,) = parse(dump([triples]), [counts.TripleFrequency], {"tokens": 6})
    arguments = tokens[:, 1:-1].ravel(), tokens[:, 2:].ravel(), tokens[:, :-2].ravel()
    assert (again.log_probability(*arguments) == triples.log_probability(*arguments)).all()
    for name, damage in (("triples", [-1]), ("triples", [6**3]), ("triple_counts", [0]), ("spread", [])):
        (row,) = json.loads(dump([triples]))
        row[name] = damage + row[name][len(damage) or 1 :] if name != "triples" else damage + row[name][:-1]
        with pytest.raises(FileError):
            parse(json.dumps([row]), [counts.TripleFrequency], {"tokens": 6})


def test_a_language_model_of_labelled_texts_beside_frequencies():
    texts, labels = ["so good", "so bad"] * 40, ["p", "n"] * 40
    found = LanguageModel(**QUICK).fit(texts, labels).evaluate(texts, labels)
    assert list(found["baselines"]) == [
        "frequency of the tokens", "frequency of pairs of tokens", "frequency of sequences of three tokens",
    ]  # fmt: skip


def tagged(count, seed=0):
    random = np.random.default_rng(seed)
    words = [list(random.choice(["cat", "dog", "runs", "light"], 4)) for _ in range(count)]
    return words, [
        ["V" if w == "runs" or (w == "light" and i % 2) else "N" for i, w in enumerate(row)] for row in words
    ]


def test_a_tagger_beside_the_most_frequent_tag_of_each_word(tmp_path):
    X, y = tagged(80)
    model = SequenceTagger(**QUICK, validation_fraction=0.25).fit(X, y)
    test, expected = tagged(50, seed=1)
    found = model.evaluate(test, expected)
    flat = [tag for row in expected for tag in row]
    assert found["baselines"]["most frequent tag"]["accuracy"] == np.mean([tag == "N" for tag in flat])
    counts = Counter((w, t) for words, tags in zip(X, y, strict=True) for w, t in zip(words, tags, strict=True))
    light = "N" if counts["light", "N"] >= counts["light", "V"] else "V"
    best = {"cat": "N", "dog": "N", "runs": "V", "light": light}
    right = [best[w] == t for ws, ts in zip(test, expected, strict=True) for w, t in zip(ws, ts, strict=True)]
    assert found["baselines"]["most frequent tag of each word"]["accuracy"] == pytest.approx(np.mean(right), abs=0.1)
    assert found["comparison"]["light"] == "red"
    model.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").evaluate(test, expected) == found
    kept = tmp_path / "m" / "baselines.json"
    kept.write_text(kept.read_text().replace('"best": [', '"best": [7, '))
    with pytest.raises(ModelFolderError):
        recurra.load(tmp_path / "m")


def test_a_filler_beside_frequency():
    texts = [f"the {a} likes the {b}" for a in ("cat", "dog", "cow") for b in ("man", "boy", "hen")] * 8
    model = BlankFiller(**QUICK, tokens="word").fit(texts)
    found = model.evaluate(texts)
    (baseline,) = found["baselines"].values()
    assert found["unigram_top1"] == baseline["top1"]
    assert found["comparison"]["figure"] == "loss"
    assert set(model.metrics_["baselines"]) == {"frequency of the tokens"}


def test_a_translator_beside_the_nearest_neighbour(tmp_path):
    X = [
        f"see {a} {b} {c} right now"
        for a in ("one", "two", "six")
        for b in ("red", "big", "old")
        for c in ("cat", "dog", "hen")
    ]
    y = [" ".join(word[::-1] for word in text.split()) for text in X]
    model = Translator(**QUICK, embedding_size=8, validation_fraction=0.3).fit(X, y)
    kept = model.metrics_["baselines"]["nearest neighbour"]
    assert 0 < kept["bleu"] < 100  # its pairs are those of training alone
    found = model.evaluate(X, y)
    assert found["baselines"]["nearest neighbour"]["bleu"] == pytest.approx(100)
    assert found["nearest_neighbour_bleu"] == found["baselines"]["nearest neighbour"]["bleu"]
    assert found["comparison"]["light"] == "red"
    assert found["comparison"]["sentence"].startswith("The network is not better than the nearest neighbour: bleu ")


def test_a_forecaster_beside_its_references(capfd):
    walk = np.cumsum(np.random.default_rng(0).normal(size=600))
    model = Forecaster(horizon=6, context=12, hidden_size=4, epochs=1).fit(walk)
    assert capfd.readouterr().err.startswith("The network is not ")
    assert model.metrics_["comparison"]["figure"] == "mae"
    assert model.metrics_["comparison"]["light"] == "red"
    found = model.evaluate(walk)
    assert found["comparison"] == model.metrics_["comparison"]
    wave = np.sin(np.arange(400) * 2 * np.pi / 12) + np.sin(np.arange(400) * 2 * np.pi / 30) ** 3
    better = Forecaster(horizon=4, context=24, hidden_size=16, epochs=20, learning_rate=0.01, loss="l2", verbose=0)
    found = better.fit(wave).evaluate(wave)
    assert found["comparison"]["figure"] == "mse"
    assert found["mse"] < found["baselines"]["last value"]["mse"]
    assert "last value" not in found["comparison"]["sentence"]


def test_a_transcriber_beside_the_most_frequent_text():
    pytest.importorskip("rapidfuzz")
    time = np.arange(800) / 8000
    sounds = {letter: np.sin(2 * np.pi * hertz * time) for letter, hertz in (("a", 300), ("b", 1200))}
    texts = ["ab", "b", "ab", "a"] * 10
    X = [(np.concatenate([sounds[letter] for letter in text]), 8000) for text in texts]
    found = Transcriber(**QUICK, num_layers=1).fit(X, texts).evaluate(X, texts)
    constant = found["baselines"]["most frequent text"]
    assert (constant["exact"], "loss" in constant) == (0.5, False)
    assert constant["cer"] == pytest.approx(20 / 60)
    assert found["comparison"]["light"] == "red"
