"""Taggers step by step give the last tag of the prediction for the words so far."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from divisions import check_divisions, rebuilt, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recurra
from recurra.errors import UsageError
from recurra.tasks.serving.service import InputError
from recurra.tasks.tag.stepper import TagStepper

WORDS = ["나는", "간다", "좋은", "영화", "bad", "film", "New York", "e\u0301t", "\u1100\u1161", "x" * 70, "", "3.5"]
PLAIN, SPANS = ["N", "V", "X", "J", "P"], ["B-a", "I-a", "O", "B-b", "I-b"]


def fitted(tags: list[str], *, crf: bool, characters: str = "jamo") -> recurra.SequenceTagger:
    random = np.random.default_rng(0)
    X = [random.choice(WORDS, int(random.integers(1, 9))).tolist() for _ in range(30)]
    y = [["B-a", "I-a", "O", "O", "B-b", "I-b", "O", "B-a", "O"][: len(row)] for row in X]
    if tags is PLAIN:
        y = [random.choice(PLAIN, len(row)).tolist() for row in X]
    model = recurra.SequenceTagger(
        embedding_size=5, char_embedding_size=4, char_hidden_size=3, hidden_size=4, epochs=1, verbose=0, crf=crf,
        characters=characters, bidirectional=False, random_state=0,
    )  # fmt: skip
    return model.fit(X, y)


@pytest.fixture(scope="module")
def models():
    return {
        "plain": fitted(PLAIN, crf=False, characters="none"),
        "chain": fitted(PLAIN, crf=True),
        "spans": fitted(SPANS, crf=False, characters="char"),
        "spans-chain": fitted(SPANS, crf=True),
    }


def drawn(count: int) -> list[list[str]]:
    random = np.random.default_rng(1)
    return [random.choice([*WORDS, "new", "말"], int(random.integers(0, 14))).tolist() for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "cell", "layers", "size"),
    [
        *[("plain", "lstm", 2, 17), ("plain", "none", 1, 5), ("chain", "gru", 1, 16), ("spans", "gru", 1, 16)],
        *[("spans-chain", "lstm", 2, 17), ("spans-chain", "gru", 1, 16), ("spans-chain", "none", 1, 5)],
    ],
)
def test_any_division_into_steps(models, name, cell, layers, size):
    model = rebuilt(models[name], cell=cell, num_layers=layers, hidden_size=size)
    assert model.network_.chain.constrained == name.startswith("spans")
    steps, X = TagStepper(model), drawn(6)

    def last(prefixes):
        found = model.predict_proba(prefixes)
        none = np.zeros(len(model.classes_), np.float32)
        return [row[-1] if len(row) else none for row in found]

    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, X, last, steps.parse)

    check()
    X = X[1:]
    states = steps.start(len(X))
    for t in range(3):
        found = steps.advance(states, [""] * len(X), [row[t : t + 1] for row in X])
        states = found.states
        prefixes = [row[: t + 1] for row in X]
        tags, sure = model.predict_with_confidence(prefixes)
        for i in range(len(X)):
            answer = steps.answer(found.outputs[i], {name: tensor[i] for name, tensor in states.items()})
            wanted = {"tag": tags[i][-1], "confidence": sure[i][-1]} if tags[i] else dict.fromkeys(answer)
            assert answer == wanted


def test_one_broken_sequence_changes_no_other(models):
    steps = TagStepper(rebuilt(models["spans-chain"], cell="lstm", num_layers=1, hidden_size=9))
    items = [[WORDS[i % 12], WORDS[i % 5]][: 1 + i % 2] for i in range(64)]
    states = steps.advance(steps.start(64), [""] * 64, items).states
    good = steps.advance(states, [""] * 64, items)
    states = {name: tensor.clone() for name, tensor in states.items()}
    states["hidden"][5] = np.nan
    found, others = steps.advance(states, [""] * 64, items), np.arange(64) != 5
    rows = torch.from_numpy(others)
    assert np.isnan(found.outputs[5]).all()
    assert found.outputs[others].tobytes() == good.outputs[others].tobytes()
    assert all(same_bits(tensor[rows], good.states[name][rows]) for name, tensor in found.states.items())


def test_inputs_and_refusals(models):
    model = rebuilt(models["plain"], cell="lstm")
    steps = model.service().stepper()
    assert steps.about()["outputs"] == sorted(PLAIN)
    assert steps.parse([]) == []
    for inputs, path in (("text", ("inputs",)), (["a", 1], ("inputs", 1))):
        with pytest.raises(InputError) as error:
            steps.parse(inputs)
        assert error.value.path == path
    with pytest.raises(InputError, match="words, not numbers"):
        steps.parse_binary(np.zeros(1, np.float32))
    with pytest.raises(UsageError, match="--one-direction"):
        TagStepper(rebuilt(model, bidirectional=True))
