"""Vectors of taggers and language models; tests/tasks/many_to_one/test_embedding.py has those of classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import recurra
from recurra import LanguageModel, SequenceTagger
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
