"""Attribution, interventions and the unit browser on the models of every task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

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
from recurra.inspect import ablate, attribute, clamp, intervene, max_activating, unit_ablation
from recurra.inspect.core.layers import recurrent_layers
from recurra.tasks.registry import BUILT_IN

SIZES = {"hidden_size": 8, "epochs": 1, "batch_size": 8, "dropout": 0.0, "verbose": 0}
LINES = ["the cat drinks milk", "the dog eats meat", "a cat drinks water", "a dog eats bread"] * 10
WORDS = [["Anna", "sleeps"], ["the", "Ben", "and", "Anna", "sing"], ["Ben", "sleeps"]] * 10
TAGS = [["N", "V"], ["D", "N", "C", "N", "V"], ["N", "V"]] * 10
WAVE = np.sin(np.arange(60) * np.pi / 6)
SOUND = np.sin(np.arange(4000) / 3), 8000


def fitted(task: str):
    """A model and inputs for it."""
    text = {**SIZES, "embedding_size": 6}
    if task == "classify":
        return SequenceClassifier(**text, tokens="word").fit(LINES, [0, 1] * 20), ["the cat eats", "milk"]
    if task == "regress":
        X = [np.random.default_rng(n).normal(size=(n % 5 + 1, 2)) for n in range(20)]
        return SequenceRegressor(**SIZES).fit(X, [float(x.sum()) for x in X]), X[:4]
    if task == "tag":
        return SequenceTagger(**text).fit(WORDS, TAGS), WORDS[:2]
    if task == "generate":
        return LanguageModel(**text).fit(LINES), ["the cat", "a"]
    if task == "fill":
        return BlankFiller(**text, tokens="word").fit(LINES), ["the cat [ ] fresh milk today", "a [ ] eats"]
    if task == "translate":
        return Translator(**text, validation_fraction=0).fit(LINES, LINES), ["the cat eats", "milk"]
    if task == "transcribe":
        return Transcriber(**SIZES, num_layers=1).fit([SOUND] * 8, ["ab", "ba"] * 4), [SOUND]
    return Forecaster(**SIZES, horizon=4, context=12, segment=3).fit([WAVE, 2 * WAVE]), [WAVE[:20], WAVE[:30]]


@pytest.mark.parametrize("task", [task.name for task in BUILT_IN])
def test_every_task(task, request):
    if task != "forecast":  # which looks at its training afterwards
        request.getfixturevalue("untrained")
    model, X = fitted(task)
    if task == "transcribe":
        with torch.no_grad():  # as drawn it says nothing, and what is never said has no score
            model.network_.head.bias[0] = -9
    subject = model.subject(X)
    with torch.no_grad():
        before = subject.scores()

    found = attribute(subject, steps=512 if task == "regress" else 32)  # max pooling has kinks
    rows = len(before)
    assert found.values.sizes["batch"] == rows
    np.testing.assert_allclose(found.score, before, atol=1e-5)
    assert np.nanmax(np.abs(found.values)) > 1e-4
    assert found.completeness.gap < 1e-3
    if subject.steps is not None:
        assert [[t for t in row if t] for row in found.values["token"].values.tolist()] == subject.steps
        assert [word for word, _ in found.words(0)]
    occluded = attribute(subject, method="occlusion").values
    assert (np.isnan(occluded) == np.isnan(found.values)).all()

    part = found.values.attrs["layer"]
    name = next(iter(recurrent_layers(subject.network)[part].stack.cell.states))
    nothing = intervene(subject, changes=[ablate(name, part=part, units=[])])
    np.testing.assert_array_equal(nothing.score_change, 0)
    np.testing.assert_allclose(nothing.score_before, before, atol=1e-4)
    effect = intervene(subject, changes=[clamp(name, 0.9, part=part)])
    assert np.abs(effect.score_change).max() > 1e-4
    assert unit_ablation(subject, part=part).score_change.max() > 0
    page = max_activating(model, X, f"{part}/0/forward/1", top=1)
    assert page.high[0].value == page.maximum


def test_both_sides_of_a_blank_are_attributed(untrained):
    model, _ = fitted("fill")
    subject = model.subject(["the cat [ ] fresh milk today"])
    values = attribute(subject, method="occlusion").values.values[0]
    before, after = values[:2], values[3:]
    assert np.abs(before).min() > 1e-6  # read forwards
    assert np.abs(after).min() > 1e-6  # read from the end
    assert abs(values[2]) < 1e-6  # the word in the blank is what is asked for
