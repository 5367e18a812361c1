"""Language models step by step give the bits of `top` for the whole text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from divisions import check_divisions, rebuilt, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recurra
from recurra.errors import UsageError
from recurra.tasks.generate.network import most_probable
from recurra.tasks.generate.service import GenerateOptions, GenerateService, Prompt
from recurra.tasks.generate.stepper import LanguageStepper
from recurra.tasks.serving.service import InputError

TEXTS = ["좋은 영화 good  film's e\u0301nd", "나쁜 영화\n\n bad\tfilm 😀", "각 \u1100\u1161 3.5 so", ""] * 5


def fitted(tokens: str, labels: bool = True) -> recurra.LanguageModel:
    model = recurra.LanguageModel(
        tokens=tokens, vocab_size=300, embedding_size=7, hidden_size=4, epochs=1, verbose=0, random_state=0
    )
    return model.fit(TEXTS, ["a", "b", "c", "a"] * 5) if labels else model.fit("\n".join(TEXTS))


@pytest.fixture(scope="module", params=["char", "word", "bpe"])
def model(request):
    return fitted(request.param)


@pytest.mark.parametrize(
    ("cell", "layers", "size"),
    [("lstm", 1, 17), ("gru", 3, 16), ("rnn", 2, 5), ("none", 1, 8), ("mgu", 2, 9), ("slstm", 1, 16)],
)
def test_any_division_into_steps(model, cell, layers, size):
    model = rebuilt(model, cell=cell, num_layers=layers, hidden_size=size)
    steps = LanguageStepper(model)

    def whole(texts):
        found = {}
        model._each(texts, None, lambda batch, features: keep(found, batch, features))
        return np.stack([found[i] for i in range(len(texts))])

    def keep(found, batch, features):
        last = features[torch.arange(len(features)), batch.lengths - 1]
        rows = model._chances(model.network_.score(last).float())
        found.update(zip(batch.rows.tolist(), rows.numpy(), strict=True))
        return rows

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, TEXTS[:4], whole, lambda part: steps.parse([part]), most=9)

    check()


def test_the_answer_is_that_of_the_service(model):
    model = rebuilt(model, cell="lstm", num_layers=1, hidden_size=9)
    steps, service = LanguageStepper(model), GenerateService(model)
    for text, label in [("좋은 영화 go", "b"), ("", None), ("nothing known ㅎ", "c")]:
        found = steps.advance(steps.start(1, condition=label), [""], [text])
        answer = steps.answer(found.outputs[0], {})
        assert answer == service.answers([Prompt(text, label)], GenerateOptions())[0]
        assert list(answer)[:2] == ["next", "probability"]
    assert service.stepper().about()["options"] == {"condition": ["a", "b", "c"]}


def test_options(model):
    steps = LanguageStepper(rebuilt(model, cell="lstm"))
    with pytest.raises(InputError, match="'z' was not in the training data"):
        steps.start(1, condition="z")
    with pytest.raises(UsageError, match="no option 'colour'"):
        steps.start(1, colour="red")
    with pytest.raises(InputError, match="not numbers"):
        steps.parse_binary(np.zeros(1, np.float32))


def test_a_running_text():
    model = fitted("char", labels=False)
    steps = LanguageStepper(model)
    assert "label" not in steps.specs
    found = steps.advance(steps.start(2), ["", ""], ["좋은 영", "x" * 2001])
    assert steps.answer(found.outputs[0], {})["next"] == model.top(["좋은 영"], k=1)[0][0][0]
    assert not found.errors  # single characters have no long rest
    with pytest.raises(InputError, match="training data"):
        steps.start(1, condition="a")


def test_a_broken_state_changes_no_other(model):
    steps = LanguageStepper(rebuilt(model, cell="lstm", num_layers=2, hidden_size=9))
    texts = [TEXTS[i % 4][: 3 + i % 7] for i in range(64)]
    states, others = steps.start(64), np.arange(64) != 5
    good = steps.advance(states, [""] * 64, texts)
    states["hidden"][5] = np.nan
    found = steps.advance(states, [""] * 64, texts)
    assert np.isnan(found.outputs[5]).all()
    assert found.outputs[others].tobytes() == good.outputs[others].tobytes()
    assert all(
        same_bits(t[torch.from_numpy(others)], good.states[n][torch.from_numpy(others)])
        for n, t in found.states.items()
    )


def test_most_probable_as_by_sorting():
    random = np.random.default_rng(0)
    words = [str(i).encode() for i in range(50)]
    for _ in range(50):
        row = random.integers(0, 5, 50).astype(np.float32) * random.integers(0, 2, 50).astype(np.float32)
        for k in (1, 5, 49, 50, 99):
            order = [i for i in np.argsort(-row, kind="stable")[:k] if row[i] > 0]
            assert most_probable(words, row, k) == [(words[i].decode(), float(row[i])) for i in order]
