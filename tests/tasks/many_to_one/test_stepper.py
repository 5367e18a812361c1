"""Classifiers and regressors step by step give the bits of whole sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from divisions import check_divisions, rebuilt, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recurra
from recurra.errors import UsageError
from recurra.io.provenance import Provenance
from recurra.tasks.many_to_one.stepper import stepper
from recurra.tasks.serving.service import InputError


def drawn(count: int, features: int, missing: float = 0.3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    rows = [random.normal(3, 2, size=(int(random.integers(0, 30)), features)) for _ in range(count)]
    for row in rows:
        row[random.random(row.shape) < missing] = np.nan
    return rows


@pytest.fixture(scope="module")
def classifier():
    X = drawn(40, 3)
    return recurra.SequenceClassifier(hidden_size=4, epochs=1, verbose=0, random_state=0).fit(X, [0, 1, 2, 1] * 10)


@pytest.fixture(scope="module")
def regressor():
    X, random = drawn(40, 2, missing=0), np.random.default_rng(1)
    model = recurra.SequenceRegressor(hidden_size=4, epochs=1, verbose=0, random_state=0)
    return model.fit(X, random.normal(50, 9, size=(40, 2)))


# two kinds of pooling for each size, and each kind with three sizes
NETWORKS = [
    *[("lstm", 1, 17, "last"), ("lstm", 1, 17, "attention"), ("lstm", 3, 5, "mean"), ("lstm", 3, 5, "max")],
    *[("gru", 2, 33, "last"), ("gru", 2, 33, "attention"), ("gru", 1, 16, "mean"), ("gru", 1, 16, "max")],
    *[("rnn", 3, 19, "last"), ("rnn", 3, 19, "max"), ("none", 2, 7, "mean"), ("none", 2, 7, "attention")],
    *[("mgu", 2, 17, "last"), ("layer_norm_lstm", 2, 33, "max"), ("slstm", 1, 19, "mean")],
    *[("mingru", 3, 16, "attention"), ("sru", 2, 48, "last"), ("mogrifier_lstm", 1, 21, "max")],
]


@pytest.mark.parametrize(("cell", "layers", "size", "pooling"), NETWORKS)
def test_any_division_into_steps(classifier, cell, layers, size, pooling):
    model = rebuilt(
        classifier, cell=cell, num_layers=layers, hidden_size=size, bidirectional=False, pooling=pooling, device="cpu"
    )
    steps, X = stepper(model), drawn(5, 3)

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, X, model.predict_proba, most=7)

    check()


def test_any_division_into_steps_with_zoneout(classifier):
    model = rebuilt(classifier, hidden_size=17, bidirectional=False, zoneout=0.3, recurrent_dropout=0.2, device="cpu")
    steps, X = stepper(model), drawn(5, 3)

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, X, model.predict_proba, most=7)

    check()


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_numbers(regressor, pooling):
    model = rebuilt(regressor, num_layers=2, hidden_size=21, bidirectional=False, pooling=pooling)
    steps, X = stepper(model), drawn(7, 2)

    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, X, model.predict, parse=lambda part: steps.parse(listed(part)))

    check()


WORDS = ["좋은", "영화", "bad", "film's", "e\u0301t", "각", "\u1100\u1161", "😀", "\n", "", "[UNK]", "so", "3.5"]


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, int(random.integers(0, 12))).tolist()) for _ in range(40)]


@pytest.mark.parametrize("tokens", ["char", "word", "bpe"])
@pytest.mark.parametrize(("cell", "layers", "size", "pooling"), [("lstm", 2, 17, "attention"), ("gru", 1, 16, "max")])
def test_any_division_of_texts(texts, tokens, cell, layers, size, pooling):
    model = recurra.SequenceClassifier(
        tokens=tokens, vocab_size=90, embedding_size=5, hidden_size=4, epochs=1, verbose=0, random_state=0
    ).fit(texts, ["a", "b"] * 20)
    model = rebuilt(model, cell=cell, num_layers=layers, hidden_size=size, pooling=pooling)
    steps = stepper(model)

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def check(data):
        check_divisions(data, steps, texts[:6], model.predict_proba, lambda part: steps.parse([part]), most=20)

    check()


def test_texts(texts):
    model = recurra.SequenceClassifier(tokens="word", hidden_size=4, epochs=1, verbose=0).fit(texts, ["a", "b"] * 20)
    steps = stepper(model)
    assert steps.about()["step"] == {"text": "a piece of the text"}
    with pytest.raises(InputError, match="takes texts, not numbers"):
        steps.parse_binary(np.zeros(3, np.float32))
    found = steps.advance(steps.start(2), ["", ""], ["x" * 2001, "so bad"])
    assert np.isnan(found.outputs[0]).all()
    assert "without a space" in found.errors[0]
    assert found.outputs[1].tobytes() == model.predict_proba(["so bad"])[0].tobytes()
    assert found.rests[1] == " bad"


def listed(part: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in part.tolist()]


@pytest.fixture
def forward(classifier):
    return rebuilt(
        classifier, cell="lstm", num_layers=1, hidden_size=9, bidirectional=False, pooling="mean", device="cpu"
    )


def test_binary_steps_are_float32(forward):
    steps = stepper(forward)
    data = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    found = steps.advance(steps.start(1), [""], [steps.parse_binary(data.ravel())])
    assert found.outputs.tobytes() == forward.predict_proba([data]).tobytes()
    with pytest.raises(InputError, match="7 values are no whole number of steps"):
        steps.parse_binary(np.zeros(7, np.float32))


def test_the_answer_has_the_values_of_predict(forward, regressor):
    steps, X = stepper(forward), drawn(1, 3)
    output = steps.advance(steps.start(1), [""], X).outputs[0]
    answer = steps.answer(output, {})
    assert answer["label"] == str(forward.predict(X)[0])
    assert list(answer["probabilities"].values()) == forward.predict_proba(X)[0].tolist()
    assert answer["probability"] == max(answer["probabilities"].values())
    model = rebuilt(regressor, bidirectional=False)
    numbers, X = stepper(model), drawn(1, 2)
    output = numbers.advance(numbers.start(1), [""], X).outputs[0]
    assert numbers.answer(output, {}) == {"value": model.predict(X)[0].tolist()}


def test_about(forward):
    about = stepper(forward).about()
    assert about["outputs"] == ["0", "1", "2"]
    assert about["step"] == {"features": 3}
    assert about["state"]["hidden"] == {"shape": [1, 9], "dtype": "float32"}
    assert about["state"]["pooling.sum"] == {"shape": [9], "dtype": "float64"}


def test_names_of_predicted_numbers():
    X, y = drawn(20, 2, missing=0), np.arange(20.0)
    model = recurra.SequenceRegressor(hidden_size=4, epochs=1, verbose=0, bidirectional=False, pooling="last")

    def names() -> list[str]:
        return stepper(model).about()["outputs"]

    model.fit(X, y)
    assert names() == ["value"]
    model.provenance_ = Provenance(target_column="litres")  # of a table, set by the command line
    assert names() == ["litres"]
    model.fit(X, np.stack([y, -y], axis=1))
    assert names() == ["value[0]", "value[1]"]


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        ("text", ("inputs",), "a list of steps"),
        ([[1, 2]], ("inputs", 0), "a step has 2 values; the model takes 3"),
        ([[1, 2, 3], [1, "2", 3]], ("inputs", 1, 1), "expected `float | null`, got `str`"),
        ([[1, 2, True]], ("inputs", 0, 2), "got `bool`"),
        ([5], ("inputs", 0), "expected `array`"),
        ([[1, 2, float("inf")]], ("inputs", 0, 2), "inf is not a finite number"),
        ([[1, 2, 1e300]], ("inputs",), "standard deviations"),
        ([[1, 2, 10**400]], ("inputs", 0, 2), "number out of range"),
    ],
)
def test_inputs_that_cannot_be_used(forward, inputs, path, message):
    with pytest.raises(InputError, match=message.replace("|", "\\|")) as error:
        stepper(forward).parse(inputs)
    assert error.value.path == path


def test_one_feature_needs_no_rows():
    X = [np.arange(4.0)[:, None], np.arange(3.0)[:, None]] * 5
    model = recurra.SequenceClassifier(hidden_size=4, epochs=1, bidirectional=False, verbose=0).fit(X, ["a", "b"] * 5)
    steps = stepper(model)
    assert steps.parse([1, None, 2.5]).tobytes() == np.array([[1.0], [np.nan], [2.5]]).tobytes()
    assert steps.parse([[1], [2]]).tolist() == [[1], [2]]
    assert steps.parse([]).shape == (0, 1)
    with pytest.raises(InputError, match="expected") as error:
        steps.parse([1, "x"])
    assert error.value.path == ("inputs", 1)


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_one_bad_sequence_changes_no_other(classifier, pooling):
    model = rebuilt(classifier, cell="lstm", num_layers=2, hidden_size=9, bidirectional=False, pooling=pooling)
    steps, random = stepper(model), np.random.default_rng(0)
    items = [random.normal(size=(int(random.integers(1, 4)), 3)) for _ in range(64)]
    states = steps.advance(steps.start(64), [""] * 64, items).states
    good = steps.advance(states, [""] * 64, items)
    assert np.isfinite(good.outputs).all()
    for value in (np.nan, np.inf, -np.inf):
        broken = {name: tensor.clone() for name, tensor in states.items()}
        for name in ("hidden", "cell"):
            broken[name][13] = value
        found = steps.advance(broken, [""] * 64, [*items[:13], np.full((2, 3), 1e17), *items[14:]])
        others = np.arange(64) != 13
        assert found.outputs[others].tobytes() == good.outputs[others].tobytes()
        for name, tensor in found.states.items():
            assert same_bits(tensor[torch.from_numpy(others)], good.states[name][torch.from_numpy(others)])
        if np.isnan(value):
            assert np.isnan(found.outputs[13]).all()


def test_no_sequences_and_no_steps(forward):
    steps = stepper(forward)
    assert steps.advance(steps.start(0), [], []).outputs.shape == (0, 3)
    empty = np.zeros((0, 3))
    found = steps.advance(steps.start(2), ["", ""], [empty, empty])
    assert found.outputs.tobytes() == forward.predict_proba([empty, empty]).tobytes()


def test_models_that_cannot_run_step_by_step(classifier, forward):
    with pytest.raises(UsageError, match="--one-direction"):
        stepper(rebuilt(classifier, cell="lstm", bidirectional=True))
    forward.network_.encoder.recurrent.engine = "reference"
    with pytest.raises(UsageError, match=r'engine="reference".*same bits'):
        stepper(forward)
