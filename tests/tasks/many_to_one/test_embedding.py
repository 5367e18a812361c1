"""Vectors of sequences and of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import recurra
from recurra import SequenceClassifier, SequenceRegressor
from recurra.errors import UsageError

TEXTS, LABELS = ["good film", "bad film", "so good", "so bad"] * 12, ["pos", "neg"] * 24
SERIES = np.random.default_rng(0).normal(size=(24, 6, 2))
NUMBERS = SERIES.sum((1, 2))
QUICK: dict[str, Any] = {"hidden_size": 5, "epochs": 2, "verbose": 0}


@pytest.fixture(scope="module")
def model():
    return SequenceClassifier(**QUICK, tokens="word", bidirectional=True, pooling="mean").fit(TEXTS, LABELS)


def test_the_head_turns_the_vectors_into_the_answer(model):
    vectors = model.transform(TEXTS[:4])
    assert (vectors.shape, vectors.dtype) == ((4, 10), np.float32)
    with torch.no_grad():
        chances = model.network_.head(torch.from_numpy(vectors)).softmax(1).numpy()
    np.testing.assert_allclose(chances, model.predict_proba(TEXTS[:4]), rtol=1e-5)


def test_states_of_steps_are_those_of_a_trace(model):
    steps = model.transform_steps(["so good film", "", "bad"])
    assert [len(found) for found in steps] == [3, 0, 1]
    trace = recurra.trace(model, ["so good film"])
    hidden = np.concatenate(list(trace["hidden"][0, :, 0]), axis=-1)  # both directions
    np.testing.assert_allclose(steps[0], hidden, atol=1e-6)
    np.testing.assert_allclose(steps[0].mean(0), model.transform(["so good film"])[0], rtol=1e-4)


def test_a_vector_does_not_depend_on_its_neighbours(model, tmp_path):
    vectors, steps = model.transform(TEXTS), model.transform_steps(TEXTS)
    np.testing.assert_array_equal(model.transform(TEXTS[1:2])[0], vectors[1])
    np.testing.assert_array_equal(model.transform_steps(TEXTS[1:2])[0], steps[1])
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(recurra.load(tmp_path / "m").transform(TEXTS), vectors)
    assert model.transform([]).shape == (0, 10)
    assert model.transform_steps([]) == []


def test_several_networks_give_their_vectors_beside_each_other():
    model = SequenceRegressor(**QUICK, members=2).fit(SERIES, NUMBERS)
    assert model.transform(SERIES).shape == (24, 20)
    assert len(model.get_feature_names_out()) == 20
    with pytest.raises(UsageError, match="a vector for each step needs one network that reads single steps"):
        model.transform_steps(SERIES)


def test_in_a_pipeline_and_as_a_table():
    model = SequenceClassifier(**QUICK, members=1).set_output(transform="pandas")
    table = model.fit(SERIES, NUMBERS > 0).transform(SERIES)
    assert table.columns[1] == "sequenceclassifier1"
    pipeline = make_pipeline(model, LogisticRegression()).fit(SERIES, NUMBERS > 0)
    assert pipeline.predict(SERIES).shape == (24,)


def test_not_fitted():
    for method in ("transform", "transform_steps"):
        with pytest.raises(NotFittedError):
            getattr(SequenceClassifier(), method)(TEXTS)
    with pytest.raises(NotFittedError):
        SequenceClassifier().get_feature_names_out()
