"""Taggers of numeric sequences: what they learn, resume, save, serve, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from divisions import check_divisions, rebuilt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

import recurra
from killing import killed_after
from recurra import SequenceTagger
from recurra.errors import DataError, ModelFolderError, UsageError
from recurra.tasks.serving.service import InputError

QUICK = {"hidden_size": 8, "dropout": 0.0, "epochs": 12, "batch_size": 8, "learning_rate": 0.03, "verbose": 0}
LINEAR = "logistic regression on the values of a step"


def walks(rows: int = 80, seed: int = 0):
    """A step is high if the sum of the first feature up to it is: the value of the step alone tells little."""
    random = np.random.default_rng(seed)
    X = [random.normal(size=(random.integers(1, 12), 2)) for _ in range(rows)]
    y = [["high" if total > 0 else "low" for total in row[:, 0].cumsum()] for row in X]
    for row in X[::5]:
        row[-1, 1] = np.nan
    return X, y


@pytest.fixture(scope="module")
def tagger():
    X, y = walks()
    y[0][0] = None
    return SequenceTagger(**QUICK).fit(X, y)


def test_the_order_of_the_steps_is_learnt(tagger):
    X, y = walks(60, seed=1)
    metrics = tagger.evaluate(X, y)
    assert set(metrics) == {"accuracy", "macro_f1", "loss", "n", "baselines", "comparison"}
    assert list(metrics["baselines"]) == ["most frequent tag", LINEAR]
    assert metrics["accuracy"] > 0.85 > metrics["baselines"][LINEAR]["accuracy"]
    assert metrics["comparison"]["light"] == "green"
    missing = tagger.data_["missing values"]  # of 16, without those that were held out
    assert 8 <= missing < 16
    assert (tagger.data_["steps without a tag"], tagger.n_features_in_) == (1, 2)
    order = tagger.order_test(X, y)
    assert order["shuffled"]["accuracy"] < order["in order"]["accuracy"]


def test_answers_agree(tagger):
    X, _ = walks(6, seed=2)
    X.insert(2, np.zeros((0, 2)))
    tags, chances = tagger.predict(X), tagger.predict_proba(X)
    assert list(map(len, tags)) == list(map(len, X)) == [len(row) for row in chances]
    assert [tagger.classes_[row.argmax(1)].tolist() for row in chances if len(row)] == [row for row in tags if row]
    assert tagger.predict([]) == []
    assert tagger.predict([[]]) == [[]]
    assert tagger.transform(X).shape == (7, 16)
    trace = recurra.trace(tagger, X[:2])
    assert trace["forget"].sizes["time"] == max(map(len, X[:2]))


def test_logistic_regression_is_that_of_scikit_learn():
    X, y = walks()
    model = SequenceTagger(**QUICK | {"epochs": 1, "cell": "none"}).fit(X, y, validation_data=(X, y))
    encoded = np.concatenate(model.encoder_.encode(X))
    tags = np.concatenate(y)
    expected = LogisticRegression(max_iter=200).fit(encoded, tags).score(encoded, tags)
    assert model.metrics_["baselines"][LINEAR]["accuracy"] == pytest.approx(expected, abs=1e-3)


def test_a_killed_run_resumes_bit_identically(tmp_path):
    X, y = walks(40)
    model = SequenceTagger(**QUICK | {"epochs": 3, "dropout": 0.2, "crf": True})
    with killed_after(7):
        clone(model).fit(X, y, checkpoint=tmp_path, checkpoint_minutes=0)
    resumed = clone(model).fit(X, y, checkpoint=tmp_path, checkpoint_minutes=0, resume=True)
    assert resumed.resumed_
    for one, two in zip(resumed.predict_proba(X), model.fit(X, y).predict_proba(X), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_saved_model_answers_the_same(tagger, tmp_path):
    X, y = walks(20, seed=3)
    tagger.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    assert loaded.evaluate(X, y) == tagger.evaluate(X, y)
    assert loaded.data_ == tagger.data_
    assert "time-series" in (tmp_path / "m/README.md").read_text(encoding="utf-8")


def test_a_table_equals_its_sequences(tmp_path):
    X, y = walks(20)
    parts = [
        pd.DataFrame(row, columns=["a", "b"]).assign(id=i, tag=tags)
        for i, (row, tags) in enumerate(zip(X, y, strict=True))
    ]
    table = pd.concat(parts).set_index("id")
    model = SequenceTagger(**QUICK | {"epochs": 1})
    fitted = clone(model).fit(table[["a", "b"]], table["tag"])
    assert fitted.predict(table[["b", "a"]]) == clone(model).fit(X, y).predict(X)
    whole = recurra.inspect.health(fitted, table[["a", "b"]], table["tag"], rows=5)
    parts = [part[["a", "b"]] for part in parts]
    assert whole.rows() == recurra.inspect.health(fitted, parts, y, rows=5).rows()
    fitted.save(tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text(encoding="utf-8"))
    assert config["feature_names"] == ["a", "b"]
    (tmp_path / "m/config.json").write_text(json.dumps(config | {"feature_names": ["a"]}), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="feature_names are not 2 different names"):
        recurra.load(tmp_path / "m")
    with pytest.raises(DataError, match=r"unknown c"):
        fitted.predict(table[["a", "b"]].rename(columns={"a": "c"}))


def test_labels_that_look_like_marks_of_spans_stay_labels():
    X, y = walks(20)
    named = [["B-x" if tag == "high" else "O" for tag in row] for row in y]
    assert SequenceTagger(**QUICK | {"epochs": 1}).fit(X, named).scheme_ is None


def test_service(tagger):
    service = tagger.service()
    answer = service.answers(service.parse([[[1, 2], [-3, None]]]), service.Options(proba=True))[0]
    assert answer["tags"] == tagger.predict([[[1, 2], [-3, np.nan]]])[0]
    assert len(answer["confidence"]) == 2
    assert service.parse([service.example()])[0].shape == (3, 2)
    assert service.about()["classes"] == ["high", "low"]
    for inputs, path in (([1], (0,)), ([[[1]]], (0, 0)), ([[[1, "a"]]], (0, 0, 1))):
        with pytest.raises(InputError) as error:
            service.parse(inputs)
        assert error.value.path == ("inputs", *path)
    with pytest.raises(UsageError, match="--one-direction"):
        service.stepper()


def test_any_division_into_steps():
    X, y = walks(30)
    model = SequenceTagger(**QUICK | {"epochs": 1, "bidirectional": False, "crf": True}).fit(X, y)
    model = rebuilt(model, cell="gru", num_layers=2, hidden_size=9)
    steps = model.service().stepper()

    def last(prefixes):
        none = np.zeros(len(model.classes_), np.float32)
        return [row[-1] if len(row) else none for row in model.predict_proba(prefixes)]

    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, X[1:7], last, lambda row: row)

    check()


def test_start_from(tagger):
    X, y = walks(20, seed=4)
    again = SequenceTagger(**QUICK | {"epochs": 1, "start_from": tagger}).fit(X, [["new", *row[1:]] for row in y])
    assert again.classes_.tolist() == ["high", "low", "new"]
    words = [["a", "b"]] * 20, [["x", "y"]] * 20
    of_words = SequenceTagger(**QUICK | {"epochs": 1}).fit(*words)
    with pytest.raises(UsageError, match="start_from is a model of words"):
        SequenceTagger(epochs=1, start_from=of_words).fit(X, y)
    with pytest.raises(UsageError, match="start_from is a model of numbers"):
        SequenceTagger(epochs=1, start_from=tagger).fit(*words)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (walks(4)[0], [["a"] * len(row) for row in walks(4)[0]], "only one tag"),
        (walks(4)[0], [[None] * len(row) for row in walks(4)[0]], "every tag is missing"),
        ([np.zeros((0, 2))] * 3, [[]] * 3, "every sequence is empty"),
        ([[1.0, "b"]] * 3, [["x", "y"]] * 3, "neither a text nor numbers"),
        ([[1.0, np.inf]] * 3, [["x", "y"]] * 3, "step 1, feature 0 is inf"),
        (walks(4)[0], None, "y has 0 lists of tags"),
    ],
)
def test_wrong_training_data(X, y, message):
    with pytest.raises(DataError, match=message):
        SequenceTagger(**QUICK).fit(X, y)


def test_wrong_data_for_a_model(tagger):
    X, y = walks(4)
    for wrong in (["a text"], [np.zeros((3, 5))]):
        with pytest.raises(DataError, match=r"texts|5 features where 2"):
            tagger.predict(wrong)
    with pytest.raises(DataError, match="nothing to compare"):
        tagger.evaluate(X, [[None] * len(row) for row in y])
    with pytest.raises(UsageError, match="cannot run in the browser"):
        recurra.export(tagger, "page.html")
    never = tagger.evaluate(X, [["unknown"] * len(row) for row in y])
    assert never["accuracy"] == 0
    assert torch.isfinite(torch.tensor(never["loss"]))
