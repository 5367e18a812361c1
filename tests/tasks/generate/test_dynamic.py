"""Dynamic evaluation: it learns from a text only after having predicted it, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra import LanguageModel
from recurra.data.batching.streams import Streams
from recurra.data.encoders.running_text import BEGIN_ID
from recurra.tasks.generate import dynamic

QUICK = {"hidden_size": 24, "embedding_size": 8, "epochs": 2, "verbose": 0, "random_state": 0}
OTHER = "the dog ran in the park\n" * 40


@pytest.fixture(scope="module", params=["char", "word", "bpe"])
def model(request):
    return LanguageModel(tokens=request.param, vocab_size=300, **QUICK).fit("a cat sat on the mat in the park\n" * 60)


def test_a_text_of_another_kind_becomes_probable(model):
    found = model.evaluate(OTHER, dynamic=True)
    assert set(found["dynamic"]) == {"loss", "perplexity", "bits_per_character"}
    assert found["dynamic"]["loss"] < found["loss"] - 0.05


def test_the_model_does_not_change(model):
    before = {name: weight.clone() for name, weight in model.network_.state_dict().items()}
    one = model.evaluate(OTHER, dynamic=True)
    assert one == model.evaluate(OTHER, dynamic=True)
    assert all(torch.equal(weight, before[name]) for name, weight in model.network_.state_dict().items())
    assert {k: v for k, v in one.items() if k != "dynamic"} == model.evaluate(OTHER)


def test_nothing_is_known_before_it_is_predicted(model):
    """The loss of the beginning does not depend on what follows; without learning all losses are those of the model."""

    def losses(text):
        batches = Streams(model.encoder_.stream(text), BEGIN_ID, streams=1, window=1024)
        return np.array(dynamic.observe_dynamically(model.network_, model._objective(), batches))

    one, other = losses(OTHER), losses(OTHER[: len(OTHER) // 2] + "a cat sat on the mat\n" * 20)
    equal, half = (one[: len(other), 0] == other[: len(one), 0]).tolist(), len(one) // 2 - 1
    assert half > 2
    assert all(equal[:half])
    assert not all(equal)


def test_without_steps_it_is_the_static_evaluation(model, monkeypatch):
    monkeypatch.setattr(dynamic, "RATE", 0.0)
    found = model.evaluate(OTHER, dynamic=True)
    assert found["dynamic"]["loss"] == pytest.approx(found["loss"], rel=1e-5)


def test_separate_texts_with_labels_and_empty_ones(monkeypatch):
    texts, labels = ["good film", "bad film", "so good", ""] * 20, ["p", "n", None, "n"] * 20
    model = LanguageModel(**QUICK).fit(texts, labels)
    found = model.evaluate(texts, labels, dynamic=True)
    assert found["dynamic"]["loss"] == pytest.approx(found["loss"], rel=0.2)
    assert model.evaluate(texts[3:4], labels[3:4], dynamic=True)["dynamic"]["loss"] > 0
    monkeypatch.setattr(dynamic, "RATE", 0.0)  # every text counts, with its label and its end
    found = model.evaluate(texts, labels, dynamic=True)
    assert found["dynamic"]["loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert found["dynamic"]["bits_per_character"] == pytest.approx(found["bits_per_character"], rel=1e-5)
