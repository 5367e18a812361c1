"""Training that continues from the model itself, and parts of a network that do not train."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recurra
from recurra import (
    BlankFiller,
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
    Translator,
)
from recurra.errors import UsageError

TEXTS, LABELS = ["good film", "bad film", "so good", "so bad"] * 12, ["pos", "neg"] * 24
WORDS = [text.split() for text in TEXTS]
SERIES = [np.random.default_rng(i).normal(size=(i % 7, 2)) for i in range(40)]
SOUNDS = [(np.random.default_rng(i).normal(size=4000).astype(np.float32) / 9, 16000) for i in range(8)]
QUICK: dict[str, Any] = {"hidden_size": 5, "batch_size": 16, "verbose": 0}
TASKS = [
    (SequenceClassifier, {}, (TEXTS, LABELS)),
    (SequenceRegressor, {}, (SERIES, np.arange(40.0))),
    (SequenceTagger, {}, (WORDS, [[word[0] for word in row] for row in WORDS])),
    (LanguageModel, {}, (TEXTS,)),
    (BlankFiller, {}, (TEXTS,)),
    (Translator, {}, (TEXTS, TEXTS[::-1])),
    (Transcriber, {}, (SOUNDS, ["ab", "ba"] * 4)),
    (Forecaster, {"horizon": 3, "context": 8, "segment": 2}, (np.sin(np.arange(80.0)),)),
]


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.network_.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(("kind", "options", "data"), TASKS, ids=[kind.__name__ for kind, _, _ in TASKS])
def test_partial_fit_continues_with_the_same_bits(kind, options, data):
    model, again = kind(**QUICK, **options), kind(**QUICK, **options)
    params = model.get_params()
    first = weights(model.partial_fit(*data))
    second = weights(model.partial_fit(*data))
    assert not same(first, second)
    assert model.get_params() == params
    assert model.n_iter_ == 1
    assert same(second, weights(again.partial_fit(*data).partial_fit(*data)))


def test_partial_fit_of_a_loaded_model(tmp_path):
    model = SequenceClassifier(**QUICK).partial_fit(TEXTS, LABELS)
    model.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m").set_params(verbose=0)
    assert same(weights(loaded.partial_fit(TEXTS, LABELS)), weights(model.partial_fit(TEXTS, LABELS)))
    assert loaded.provenance_.started_from.startswith("SequenceClassifier (classify, weights ")


def test_classes_of_later_parts():
    model = SequenceClassifier(**QUICK).partial_fit(TEXTS[:8], LABELS[:8], classes=["pos", "odd", "neg"])
    assert model.classes_.tolist() == ["neg", "odd", "pos"]
    before = model.predict_proba(TEXTS)
    assert before.shape == (48, 3)
    assert model.partial_fit(["odd film"] * 4, ["new"] * 4).classes_.tolist() == ["neg", "new", "odd", "pos"]
    model.partial_fit(TEXTS, LABELS, sample_weight=np.ones(48))
    assert model.predict_proba(TEXTS).shape == (48, 4)


def test_an_error_leaves_the_model_as_it_was():
    model = SequenceClassifier(**QUICK).partial_fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    with pytest.raises(ValueError, match="must pair up"):
        model.partial_fit(TEXTS, LABELS[:-1])
    np.testing.assert_array_equal(model.predict_proba(TEXTS), before)


def test_parts_learn_what_all_data_teach():
    texts, labels = np.array(TEXTS), np.array(LABELS)
    model = SequenceClassifier(**{**QUICK, "batch_size": 4, "learning_rate": 0.02, "dropout": 0.0}, tokens="word")
    for _ in range(8):
        model.partial_fit(texts[:24], labels[:24]).partial_fit(texts[24:], labels[24:])
    assert model.score(texts, labels) == 1.0


@pytest.mark.parametrize(("kind", "options", "data"), TASKS[:3], ids=["classify", "regress", "tag"])
def test_warm_start(kind, options, data):
    given = {**QUICK, "epochs": 2, **options}
    once = weights(kind(**given).fit(*data))
    cold = kind(**given).fit(*data).fit(*data)
    assert same(weights(cold), once)
    warm = kind(**given, warm_start=True).fit(*data)
    assert same(weights(warm), once)
    twice = weights(warm.fit(*data))
    assert not same(twice, once)
    assert same(weights(kind(**given, warm_start=True).fit(*data).fit(*data)), twice)
    assert same(weights(kind(**given, start_from=kind(**given).fit(*data)).fit(*data)), twice)


def test_warm_start_can_be_resumed(tmp_path):
    """Another process continues from the weights with which the run began, which its folder has."""
    given = {**QUICK, "epochs": 2, "warm_start": True}
    model = SequenceClassifier(**given).fit(TEXTS, LABELS).fit(TEXTS, LABELS, checkpoint=tmp_path)
    other = SequenceClassifier(**given).fit(TEXTS, LABELS, checkpoint=tmp_path, resume=True)
    assert other.resumed_
    assert same(weights(model), weights(other))


def test_networks_that_are_averaged_do_not_continue():
    model = SequenceRegressor(**QUICK, epochs=1, members=2, warm_start=True).fit(SERIES, np.arange(40.0))
    with pytest.raises(UsageError, match=r"training starts from one network; train the model with members=1"):
        model.fit(SERIES, np.arange(40.0))


@pytest.mark.parametrize(
    ("freeze", "kept"),
    [
        ("encoder", ("encoder.",)),
        (["encoder.embedding", "pooling"], ("encoder.embedding.", "pooling.")),
        (("head.bias",), ("head.bias",)),
    ],
)
def test_frozen_parts_keep_their_weights(freeze, kept):
    source = SequenceClassifier(**QUICK, epochs=1).fit(TEXTS, LABELS)
    given = {**QUICK, "epochs": 2, "learning_rate": 0.02, "start_from": source, "freeze": freeze}
    model = SequenceClassifier(**given, health_checks=True).fit(TEXTS, LABELS)
    before, after = weights(source), weights(model)
    frozen = {name for name in before if np.array_equal(before[name], after[name])}
    assert frozen == {name for name in before if name.startswith(kept)}
    assert all(weight.requires_grad for weight in model.network_.parameters())
    assert same(after, weights(SequenceClassifier(**given).fit(TEXTS, LABELS)))


def test_freeze_is_saved_and_checked(tmp_path):
    model = SequenceClassifier(**QUICK, epochs=1, freeze=["encoder"]).fit(TEXTS, LABELS)
    model.save(tmp_path / "m")
    assert recurra.load(tmp_path / "m").freeze == ["encoder"]
    every = SequenceRegressor(**QUICK, epochs=1, members=2, freeze="encoder").fit(SERIES, np.arange(40.0))
    assert len(every.network_.members) == 2
    for wrong, message in [
        ("lstm", "freeze names 'lstm', which the network does not have; its parts are encoder.embedding, "),
        (["encoder", "pooling", "head"], "freeze leaves nothing to train"),
        (3, "freeze is a name or a list of names of parts of the network, got 3"),
    ]:
        with pytest.raises(UsageError, match=message):
            SequenceClassifier(**QUICK, epochs=1, freeze=wrong).fit(TEXTS, LABELS)


def test_given_word_vectors_stay(tmp_path):
    (tmp_path / "v.txt").write_text("good 1 2\nbad 3 4\nso 5 6\nodd 7 8\n")
    given = {**QUICK, "epochs": 1, "tokens": "word", "vectors": str(tmp_path / "v.txt"), "random_state": 3}
    model = SequenceClassifier(**given).fit(TEXTS, LABELS)
    table = model.network_.encoder.embedding.given.clone()
    assert model.partial_fit(TEXTS, LABELS).set_params(warm_start=True).fit(TEXTS, LABELS).network_ is not None
    assert bool((model.network_.encoder.embedding.given == table).all())
