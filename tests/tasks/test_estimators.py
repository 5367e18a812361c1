"""Classifier and regressor: the scikit-learn contract, what they learn, and what they refuse."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import DataError, ModelFolderError

GOOD, BAD = ["정말 재미있다", "최고의 영화", "so good"], ["정말 지루하다", "최악의 영화", "so bad"]
TEXTS, LABELS = (GOOD + BAD) * 20, (["good"] * 3 + ["bad"] * 3) * 20
QUICK = {
    "hidden_size": 12,
    "embedding_size": 8,
    "token_dropout": 0.0,
    "epochs": 8,
    "batch_size": 16,
    "learning_rate": 0.02,
    "verbose": 0,
}


def first_step(n: int = 240, seed: int = 0):
    """Sequences whose class is the sign of their first step: a network must remember it to the end."""
    random = np.random.default_rng(seed)
    X = [random.normal(scale=0.3, size=(random.integers(1, 12), 2)) for _ in range(n)]
    y = random.integers(0, 2, n)
    for x, label in zip(X, y, strict=True):
        x[0, 0] = 1 if label else -1
    return X, y


@pytest.fixture(scope="module")
def classifier():
    return SequenceClassifier(**QUICK).fit(TEXTS, LABELS)


# the contract


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_constructor_only_stores(kind):
    names = list(inspect.signature(kind.__init__).parameters)[1:]
    marks = {name: object() for name in names}
    made = kind(**marks)
    assert made.get_params() == marks
    assert {k: v for k, v in vars(made).items() if not k.startswith("_")} == marks
    assert clone(kind(hidden_size=7)).get_params() == kind(hidden_size=7).get_params()
    assert kind().set_params(cell="gru").cell == "gru"
    assert "hidden_size=7" in repr(kind(hidden_size=7))


def test_kinds_are_known_to_sklearn():
    assert is_classifier(SequenceClassifier())
    assert is_regressor(SequenceRegressor())


def test_not_fitted_yet():
    with pytest.raises(NotFittedError):
        SequenceClassifier().predict(["a"])


def test_probabilities_predictions_and_score_agree(classifier):
    probabilities = classifier.predict_proba(TEXTS)
    assert probabilities.shape == (120, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert classifier.classes_.tolist() == ["bad", "good"]
    np.testing.assert_array_equal(classifier.predict(TEXTS), classifier.classes_[probabilities.argmax(1)])
    assert classifier.score(TEXTS, LABELS) == classifier.evaluate(TEXTS, LABELS)["accuracy"] == 1.0
    own = {"accuracy", "macro_f1", "loss", "n"}
    scores = {"macro_precision", "macro_recall", "roc_auc", "log_loss", "calibration_error"}
    tables = {"classes", "confusion_matrix", "confusions", "calibration"}
    assert set(classifier.evaluate(TEXTS, LABELS)) == own | scores | tables | {"baselines", "comparison"}


@pytest.mark.slow
def test_grid_search_and_cross_validation():
    model = SequenceClassifier(**{**QUICK, "epochs": 20, "dropout": 0.1})
    search = GridSearchCV(model, {"cell": ["gru", "rnn"]}, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_score_ > 0.9
    assert cross_val_score(model, np.array(TEXTS), LABELS, cv=2, error_score="raise").min() > 0.9


def test_pipeline():
    lower = FunctionTransformer(lambda texts: [t.lower() for t in texts])
    pipeline = make_pipeline(lower, SequenceClassifier(**QUICK)).fit(TEXTS, LABELS)
    assert pipeline.predict(["SO GOOD"])[0] == "good"


def test_pickle(classifier):
    again = pickle.loads(pickle.dumps(classifier))  # noqa: S301
    np.testing.assert_array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


# what they learn


@pytest.mark.parametrize(
    ("cell", "pooling"),
    [("lstm", "last"), ("gru", "last"), ("rnn", "last"), ("lstm", "mean"), ("gru", "max"), ("rnn", "attention")],
)
def test_learns_from_the_first_step(cell, pooling):
    X, y = first_step()
    arguments = {**QUICK, "hidden_size": 24, "epochs": 20, "dropout": 0.0, "n_iter_no_change": None}
    model = SequenceClassifier(cell=cell, pooling=pooling, **arguments).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
def test_tokens(tokens):
    model = SequenceClassifier(tokens=tokens, bidirectional=True, num_layers=2, **QUICK).fit(TEXTS, LABELS)
    assert model.score(TEXTS, LABELS) == 1.0


def test_predictions_do_not_depend_on_their_neighbours(classifier):
    texts = [*GOOD, "", "so " * 300, *BAD]
    together = classifier.predict_proba(texts)
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_empty_and_unknown_texts_have_predictions(classifier):
    assert np.isfinite(classifier.predict_proba(["", "龍龍龍", "😀"])).all()
    assert classifier.predict([]).shape == (0,)


@pytest.mark.parametrize(("weight", "expected"), [(None, 0.2), ("balanced", 0.5), ({0: 1.0, 1: 36.0}, 0.9)])
def test_class_weight_moves_the_probabilities(weight, expected):
    # nothing tells the sequences apart, so the model can learn no more than the weighted share of the classes
    X, y = [np.ones((3, 1))] * 200, [1] * 40 + [0] * 160
    arguments = {**QUICK, "epochs": 30, "batch_size": 50, "dropout": 0.0, "validation_fraction": 0.0}
    model = SequenceClassifier(class_weight=weight, **arguments).fit(X, y)
    assert model.predict_proba(X[:1])[0, 1] == pytest.approx(expected, abs=0.05)


def test_class_weight_also_chooses_the_best_epoch():
    X, y = [np.ones((3, 1))] * 200, np.array([1] * 40 + [0] * 160)
    model = SequenceClassifier(class_weight={0: 1.0, 1: 1000.0}, **QUICK).fit(X, y, validation_data=(X, y))
    assert model.metrics_["valid"]["accuracy"] > 0.99  # the 160 others weigh next to nothing


def test_sample_weight_0_is_as_if_the_row_were_not_there():
    wrong = ["bad" if label == "good" else "good" for label in LABELS]
    weights = [1.0] * len(TEXTS) + [0.0] * len(TEXTS)
    model = SequenceClassifier(validation_fraction=0, **QUICK).fit(TEXTS * 2, LABELS + wrong, sample_weight=weights)
    assert model.score(TEXTS, LABELS) == 1.0


def test_regressor_counts_steps():
    random = np.random.default_rng(0)
    X = [np.ones((random.integers(1, 20), 1)) * 5 for _ in range(300)]
    y = np.array([100.0 + 10 * len(x) for x in X])
    options = {**QUICK, "epochs": 25, "hidden_size": 24, "pooling": "last", "dropout": 0}
    model = SequenceRegressor(**options).fit(X[:250], y[:250])
    assert model.score(X[250:], y[250:]) > 0.9  # 0.83 to 1 in five seeds, with and without products of bfloat16
    assert model.predict(X[:3]).shape == (3,)
    figures = model.evaluate(X[250:], y[250:])
    assert figures["mae"] == pytest.approx(np.abs(model.predict(X[250:]) - y[250:]).mean(), rel=1e-5)


def test_regressor_of_several_targets():
    X, _ = first_step(60)
    y = np.stack([[x.sum(), -x.sum()] for x in X])
    model = SequenceRegressor(**QUICK).fit(X, y)
    assert model.predict(X).shape == (60, 2)
    assert model.score(X, y) > 0.3


@pytest.mark.slow
def test_small_data_get_more_epochs():
    X, y = first_step(40)
    model = SequenceClassifier(hidden_size=4, verbose=0, n_iter_no_change=None, members=1).fit(X, y)
    assert model.n_iter_ > 100


@pytest.mark.parametrize(
    "labels", [[0, 1], [1.0, 2.0], [True, False], ["a", "나"]], ids=["int", "float", "bool", "str"]
)
def test_labels_of_every_kind_come_back_as_they_were(tmp_path, labels):
    y = np.array([labels[i % 2] for i in range(120)])
    model = SequenceClassifier(**{**QUICK, "epochs": 1}).fit(TEXTS, y)
    model.save(tmp_path / "m")
    found = recurra.load(tmp_path / "m")
    assert found.classes_.tolist() == sorted(labels)
    assert found.classes_.dtype.kind == model.classes_.dtype.kind == y.dtype.kind
    assert found.evaluate(TEXTS, y.astype(str))["n"] == 120


def test_missing_targets_are_left_out(classifier):
    y = [None if i % 4 == 0 else label for i, label in enumerate(LABELS)]
    model = SequenceClassifier(**QUICK).fit(TEXTS, y)
    assert model.data_["left out for a missing target"] == 30
    assert model.data_["sequences"] + model.data_["validation sequences"] == 90
    assert classifier.evaluate(TEXTS, y)["n"] == 90


def test_columns_of_every_library_train_the_same_model(classifier):
    expected = classifier.predict_proba(TEXTS)
    for X, y in [
        (np.array(TEXTS), np.array(LABELS)),
        (pd.Series(TEXTS), pd.Series(LABELS)),
        (pa.chunked_array([TEXTS]), pa.array(LABELS)),
    ]:
        np.testing.assert_array_equal(SequenceClassifier(**QUICK).fit(X, y).predict_proba(X), expected)


# saving


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "rnn_relu"])
def test_saved_and_loaded_models_agree(tmp_path, cell):
    X, y = first_step(60)
    model = SequenceClassifier(cell=cell, class_weight={0: 1.0, 1: 2.0}, **QUICK).fit(X, y)
    model.save(tmp_path / "m")
    again = recurra.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    assert again.history_ == model.history_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.evaluate(X, y) == model.evaluate(X, y)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "README.md",
        "baselines.json",
        "config.json",
        "metrics.json",
        "model.safetensors",
    ]


def test_regressor_is_saved(tmp_path):
    y = [3.0 if label == "good" else -1.0 for label in LABELS]
    model = SequenceRegressor(**QUICK).fit(TEXTS, y)
    model.save(tmp_path / "m")
    assert (tmp_path / "m" / "tokenizer.json").exists()
    np.testing.assert_array_equal(recurra.load(tmp_path / "m").predict(TEXTS), model.predict(TEXTS))


def test_card_is_filled_from_the_run(tmp_path, classifier):
    classifier.save(tmp_path / "reviews")
    card = (tmp_path / "reviews" / "README.md").read_text()
    assert classifier.data_["hash (BLAKE2b)"] in card
    rows = [classifier.metrics_["valid"], *classifier.metrics_["baselines"].values()]
    shown = " | ".join(format(row["accuracy"], ".4f") for row in rows)
    assert f"| accuracy | {shown} |" in card
    assert "| random_state | 0 |" in card
    assert 'recurra.load("reviews")' in card
    assert "{" not in card


def test_weights_of_another_model_are_refused(tmp_path, classifier):
    classifier.save(tmp_path / "a")
    SequenceClassifier(**{**QUICK, "hidden_size": 5, "epochs": 1}).fit(TEXTS, LABELS).save(tmp_path / "b")
    (tmp_path / "b" / "model.safetensors").replace(tmp_path / "a" / "model.safetensors")
    with pytest.raises(ModelFolderError, match="follows from config"):
        recurra.load(tmp_path / "a")


# what they refuse


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TEXTS, ["good"] * 120, "only one class, good"),
        (TEXTS, [None] * 120, "every target is missing"),
        (TEXTS, LABELS[:50], "must pair up"),
        ([""] * 120, LABELS, "every text is empty"),
        ([np.zeros((0, 2))] * 120, LABELS, "every sequence is empty"),
        (TEXTS, [0.5, 1.5] * 60, "not classes"),
        (TEXTS, np.full((120, 2), 3), "one class per sequence"),
    ],
)
def test_classifier_refuses(X, y, message):
    with pytest.raises(DataError, match=message):
        SequenceClassifier(**QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["many"] * 120, "must be numbers"),
        ([1.0] * 120, "every target is 1"),
        ([float("inf")] + [1.0, 2.0] * 59 + [3.0], "not a finite number"),
    ],
)
def test_regressor_refuses(y, message):
    with pytest.raises(DataError, match=message):
        SequenceRegressor(validation_fraction=0, **QUICK).fit(TEXTS, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "transformer"}, "cell is one of lstm"),
        ({"pooling": "min"}, "pooling is one of"),
        ({"tokens": "syllable"}, "tokens is one of"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"dropout": 1.0}, "dropout must lie"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceClassifier(**{**QUICK, **arguments}).fit(TEXTS, LABELS)


def test_unknown_labels_are_named(classifier):
    with pytest.raises(DataError, match="'ugly' was not in the training data; known are bad, good") as error:
        classifier.evaluate(TEXTS[:3], ["good", "", "ugly"])
    assert error.value.row == 2


def test_other_kinds_of_sequences_are_refused(classifier):
    with pytest.raises(DataError, match="trained on texts"):
        classifier.predict([np.zeros((2, 2))])
    X, y = first_step(40)
    model = SequenceClassifier(**{**QUICK, "epochs": 1}).fit(X, y)
    with pytest.raises(DataError, match="3 features where 2"):
        model.predict([np.zeros((2, 3))])


@pytest.mark.parametrize("weights", [[-1.0] * 120, [0.0] * 120, [float("nan")] * 120])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(DataError, match="sample_weight"):
        SequenceClassifier(**QUICK).fit(TEXTS, LABELS, sample_weight=weights)


def ordered(rows):
    """Which of two marks comes first: nothing but the order tells."""
    random = np.random.default_rng(rows)
    first = random.integers(0, 2, rows)
    return ["ab"[a] + "-" * int(n) + "ba"[a] for a, n in zip(first, random.integers(1, 6, rows), strict=True)], first


def test_order_test_and_the_cell_without_memory_tell_that_order_matters(tmp_path):
    X, y = ordered(400)
    common = {"tokens": "char", "epochs": 15, "learning_rate": 0.01, "token_dropout": 0, "verbose": 0}
    model = SequenceClassifier(hidden_size=16, pooling="last", **common).fit(X, y)
    found = model.order_test(X, y)
    assert found["in order"]["accuracy"] > 0.98
    assert found["shuffled"]["accuracy"] < 0.75
    baseline = SequenceClassifier("none", 16, pooling="mean", **common).fit(X, y)
    assert baseline.score(X, y) < 0.75
    baseline.save(tmp_path / "none")
    np.testing.assert_array_equal(recurra.load(tmp_path / "none").predict(X), baseline.predict(X))
