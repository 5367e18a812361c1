"""Vectors of all tasks but classifiers; tests/tasks/many_to_one/test_embedding.py has those of classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import recurra
from recurra import BlankFiller, Forecaster, LanguageModel, SequenceTagger, Transcriber, Translator
from recurra.errors import DataError

TEXTS = ["good film", "bad film", "so good", "so bad"] * 12
WORDS = [text.split() for text in TEXTS]
QUICK: dict[str, Any] = {"hidden_size": 5, "epochs": 1, "verbose": 0}


@pytest.fixture(scope="module")
def tagger():
    return SequenceTagger(**QUICK).fit(WORDS, [[word[0] for word in row] for row in WORDS])


@pytest.mark.parametrize(("tokens", "size"), [("word", 7), ("char", 5)])
def test_vectors_of_a_language_model_predict_the_next_token(tokens, size):
    model = LanguageModel(**QUICK, tokens=tokens, embedding_size=7).fit(TEXTS)
    vectors, steps = model.transform(["so go", ""]), model.transform_steps(["so go", ""])
    assert vectors.shape == (2, size)
    assert [len(row) for row in steps] == [len(row) for row in model.step_names(["so go", ""])]
    np.testing.assert_array_equal(steps[0][-1], vectors[0])
    with torch.no_grad():
        chances = model._chances(model.network_.score(torch.from_numpy(vectors))).numpy()
    top = model.top(["so go", ""], k=1)
    np.testing.assert_allclose(chances.max(1), [found[0][1] for found in top], rtol=1e-5)
    np.testing.assert_array_equal(model.transform(["so go"])[0], vectors[0])
    with pytest.raises(DataError, match="X is one text"):
        model.transform("so go")


def test_vectors_of_words_are_the_states(tagger):
    steps = tagger.transform_steps([["so", "good", "film"], ["bad"]])
    assert [row.shape for row in steps] == [(3, 10), (1, 10)]
    alone = recurra.trace(tagger, [["so", "good", "film"]])
    hidden = np.concatenate(list(alone.part("recurrent")["hidden"][-1, :, 0]), axis=-1)
    np.testing.assert_allclose(steps[0], hidden, atol=1e-6)
    vectors = tagger.transform([["so", "good", "film"], ["bad"], []])
    np.testing.assert_allclose(vectors[0], steps[0].mean(0), rtol=1e-5)
    assert not vectors[2].any()
    np.testing.assert_array_equal(tagger.transform([["bad"]])[0], vectors[1])
    assert tagger.transform([]).shape == (0, 10)
    assert len(tagger.get_feature_names_out()) == 10


SOUNDS = [(np.random.default_rng(i).normal(size=3000 + 900 * i).astype(np.float32) / 9, 16000) for i in range(6)]
SERIES = [np.sin(np.arange(40.0 + 9 * i)) for i in range(4)]
OTHERS: dict[str, tuple[Any, Any]] = {
    "fill": (lambda: BlankFiller(**QUICK, embedding_size=6).fit(TEXTS), ["so good film", "", "bad"]),
    "translate": (lambda: Translator(**QUICK, tokens="word").fit(TEXTS, TEXTS[::-1]), ["so good film", "", "bad"]),
    "transcribe": (lambda: Transcriber(**QUICK).fit(SOUNDS, ["ab", "ba"] * 3), SOUNDS[:3]),
    "forecast": (lambda: Forecaster(**QUICK, horizon=3, context=8, segment=2).fit(SERIES), SERIES[:3]),
}


@pytest.mark.parametrize("task", OTHERS)
def test_vectors_of_the_other_tasks(task, tmp_path):
    fit, X = OTHERS[task]
    model = fit()
    vectors, steps = model.transform(X), model.transform_steps(X)
    size = len(model.get_feature_names_out())
    assert vectors.shape == (3, size)
    assert {row.shape[1:] for row in steps} == {(size,)}
    names = model.step_names(X)
    assert names is None or [len(row) for row in names] == [len(row) for row in steps]
    for row in range(3) if task != "forecast" else (0,):  # a series of a list is known by its place in it
        np.testing.assert_array_equal(model.transform(X[row : row + 1])[0], vectors[row])
        np.testing.assert_array_equal(model.transform_steps(X[row : row + 1])[0], steps[row])
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(recurra.load(tmp_path / "m").transform(X), vectors)
    if task == "forecast":
        np.testing.assert_array_equal(vectors, [row[-1] for row in steps])
    elif task != "translate":
        means = [row.mean(0) if len(row) else np.zeros(size) for row in steps]
        np.testing.assert_allclose(vectors, means, rtol=1e-4, atol=1e-6)


def test_vectors_of_blank_fillers_leave_the_token_itself_out():
    model = BlankFiller(**QUICK).fit(TEXTS)
    (good,), (bad,) = model.transform_steps(["so good film"]), model.transform_steps(["so bad film"])
    np.testing.assert_array_equal(good[1], bad[1])
    assert not np.array_equal(good[0], bad[0])


def test_vectors_are_what_the_next_layer_reads():
    transcriber = OTHERS["transcribe"][0]()
    (steps,) = transcriber.transform_steps(SOUNDS[:1])
    trace = recurra.trace(transcriber, SOUNDS[:1])
    np.testing.assert_allclose(steps, np.concatenate(list(trace["hidden"][-1, :, 0]), -1), atol=1e-6)
    translator = Translator(**QUICK, tokens="word", bidirectional=False).fit(TEXTS, TEXTS[::-1])
    (steps,) = translator.transform_steps(["so good film"])
    np.testing.assert_allclose(translator.transform(["so good film"])[0], steps[-1], atol=1e-6)


def test_vectors_of_a_table_of_series():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=60), "a": rng.normal(size=60)})
    frame["b"], frame["holiday"] = frame["a"] + 1, frame["t"].dt.day_of_week == 6
    model = Forecaster(**QUICK, horizon=3, context=8, segment=2)
    model.fit(frame, time="t", target=["a", "b"], known=["holiday"])
    assert model.transform(frame).shape == (1, 10)
    np.testing.assert_array_equal(model.transform(), model.transform(frame))
    assert model.transform_steps(frame[:30])[0].shape == (4, 10)
