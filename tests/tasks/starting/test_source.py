"""Training that starts from another model: what is taken from it, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from sklearn.base import clone

import recurra
from killing import killed_after
from recurra import BlankFiller, Forecaster, LanguageModel, SequenceClassifier, SequenceRegressor, SequenceTagger
from recurra.errors import DataError, ModelFolderError, UsageError
from recurra.tasks.tuning.search import _space

TEXTS, LABELS = ["good film", "bad film", "so good", "so bad"] * 12, ["pos", "neg"] * 24
SERIES = [np.random.default_rng(i).normal(size=(i % 7, 2)) for i in range(60)]
QUICK = {"epochs": 1, "batch_size": 16, "verbose": 0}
SMALL = {**QUICK, "hidden_size": 6}


def classifier(**changes):
    return SequenceClassifier(**{**SMALL, "tokens": "word", "embedding_size": 4, **changes}).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def source():
    return classifier(num_layers=2, pooling="mean")


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "first"
    source.save(path)
    return path


def test_tokens_sizes_and_weights_are_taken(folder, source, tmp_path):
    """A learning rate of almost 0 shows with which weights training begins."""
    started = SequenceClassifier(start_from=folder, learning_rate=1e-30, **QUICK).fit(TEXTS[::-1], LABELS[::-1])
    taken = started.source_params_
    assert {name: taken.pop(name) for name in ("num_layers", "pooling", "tokens")} == {
        "num_layers": 2,
        "pooling": "mean",
        "tokens": "word",
    }
    assert taken.keys() == {"cell", "hidden_size", "zoneout", "bidirectional", "vocab_size", "embedding_size"}
    np.testing.assert_array_equal(started.predict_proba(TEXTS), source.predict_proba(TEXTS))
    started.save(tmp_path / "second")
    loaded = recurra.load(tmp_path / "second")
    assert (loaded.start_from, loaded.hidden_size) == (None, 6)
    assert loaded.provenance_.started_from.startswith("first (classify, weights ")
    assert loaded.provenance_.started_from in (tmp_path / "second" / "README.md").read_text(encoding="utf-8")
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), started.predict_proba(TEXTS))


def test_new_classes_are_added_and_reported(source, capsys):
    X, y = [*TEXTS, *["odd film"] * 6], [*LABELS, *["new"] * 6]
    started = SequenceClassifier(start_from=source, learning_rate=1e-30, **{**QUICK, "verbose": 1}).fit(X, y)
    assert started.classes_.tolist() == ["neg", "new", "pos"]
    known = started.predict_proba(TEXTS)[:, [0, 2]]
    np.testing.assert_allclose(known / known.sum(1, keepdims=True), source.predict_proba(TEXTS), rtol=1e-5)
    assert "new classes, which the model that training starts from does not know: new\n" in capsys.readouterr().err


def test_one_known_class_is_enough(source):
    started = SequenceClassifier(start_from=source, **QUICK).fit(TEXTS[::2], LABELS[::2])
    assert started.classes_.tolist() == ["neg", "pos"]


def test_a_fitted_estimator_is_kept_by_clone(source):
    started = SequenceClassifier(start_from=source, **QUICK)
    assert clone(started).start_from is source
    assert clone(clone(started)).fit(TEXTS, LABELS).hidden_size == 6


def test_another_fit_may_start_from_another_model(source):
    started = SequenceClassifier(start_from=source, **QUICK).fit(TEXTS, LABELS)
    other = classifier(hidden_size=5)
    assert started.set_params(start_from=other).fit(TEXTS, LABELS).hidden_size == 5
    assert started.set_params(start_from=None).fit(TEXTS, LABELS).hidden_size == 128


def tagged(**changes):
    words = [text.split() for text in TEXTS]
    return SequenceTagger(**{**QUICK, **changes}), (words, [[w[0] for w in row] for row in words])


@pytest.mark.parametrize(
    ("first", "data", "more"),
    [
        (*tagged(hidden_size=6, crf=True, char_hidden_size=4), [[["zoo"]], [["z"]]]),
        (LanguageModel(**SMALL), (TEXTS, LABELS), [["a zoo"], ["other"]]),
        (BlankFiller(**SMALL, direction="forward"), (TEXTS,), [["a zoo"]]),
        (SequenceRegressor(**SMALL), (SERIES, np.arange(60.0)), [[SERIES[0] + 1], [70.0]]),
        (Forecaster(**SMALL, horizon=3, context=8, segment=2), (np.sin(np.arange(120.0)),), [[0.5]]),
    ],
)
def test_each_task_continues(first, data, more):
    first.fit(*data)
    more = [[*some, *new] for some, new in zip(data, more, strict=True)]
    started = type(first)(start_from=first, learning_rate=1e-30, **QUICK).fit(*(m for m in more))
    own, known = started.network_.state_dict(), first.network_.state_dict()
    same = {name for name, weight in known.items() if weight.shape == own[name].shape and weight.ndim}
    close = [name for name in same if np.allclose(own[name], known[name], rtol=1e-6)]
    assert set(same) - set(close) <= {"linear_weight", "linear_bias", "shifts"}  # those are fitted after training
    bigger = {name for name in known if known[name].shape != own[name].shape}
    assert bigger == set() or len(started.classes_) == len(first.classes_) + 1


def test_what_does_not_fit_is_refused(source, folder, tmp_path):
    cases = [
        ({"hidden_size": 7}, UsageError, "hidden_size is 7, but the model that training starts from has 6"),
        ({"tokens": "char"}, UsageError, "leave --tokens out, or start from another model"),
        ({"start_from": tmp_path / "none"}, ModelFolderError, "there is no model folder"),
        ({"start_from": 3}, UsageError, "start_from is a model folder or a fitted estimator, not 3"),
        ({"start_from": SequenceClassifier()}, UsageError, "that is not fitted: fit it first"),
    ]
    for changes, kind, message in cases:
        with pytest.raises(kind, match=message):
            SequenceClassifier(**{"start_from": folder, **QUICK, **changes}).fit(TEXTS, LABELS)
    with pytest.raises(UsageError, match="is a sequence classifier; training for fill starts from a model of fill"):
        BlankFiller(start_from=source, **QUICK).fit(TEXTS)
    with pytest.raises(DataError, match="the model was trained on texts, X holds numeric sequences"):
        SequenceClassifier(start_from=source, **QUICK).fit(SERIES, [0, 1] * 30)
    with pytest.raises(UsageError, match="such as 'neg', and those of the data such as 0"):
        SequenceClassifier(start_from=source, **QUICK).fit(TEXTS, [0, 1] * 24)


def test_a_damaged_or_newer_model_is_refused(folder, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    weights = next(damaged.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-9])
    newer = shutil.copytree(folder, tmp_path / "newer")
    config = newer / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"schema_version": 1', '"schema_version": 99'))
    assert "99" in config.read_text(encoding="utf-8")
    for path in (damaged, newer):
        with pytest.raises(ModelFolderError, match=str(path)):
            SequenceClassifier(start_from=path, **QUICK).fit(TEXTS, LABELS)


def test_a_resumed_run_needs_no_source(folder, tmp_path):
    source = shutil.copytree(folder, tmp_path / "first")
    options = {**QUICK, "epochs": 2, "start_from": source}
    whole = SequenceClassifier(**options).fit(TEXTS, LABELS)
    with killed_after(4):
        SequenceClassifier(**options).fit(TEXTS, LABELS, checkpoint=tmp_path / "run", checkpoint_minutes=0)
    shutil.rmtree(source)
    resumed = SequenceClassifier(**options).fit(TEXTS, LABELS, checkpoint=tmp_path / "run", resume=True)
    assert resumed.resumed_
    np.testing.assert_array_equal(resumed.predict_proba(TEXTS), whole.predict_proba(TEXTS))
    with pytest.raises(UsageError, match=r"these are different: .*start_from"):
        classifier().fit(TEXTS, LABELS, checkpoint=tmp_path / "run", resume=True)


def test_tune_searches_what_the_model_leaves_open(source):
    space = _space(SequenceClassifier(start_from=source), (TEXTS, LABELS), {})
    assert {"dropout", "learning_rate"} <= space.keys()
    assert not {"hidden_size", "tokens", "pooling"} & space.keys()
