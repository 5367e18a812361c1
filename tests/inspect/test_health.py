"""Each light: a sick model that turns it red, and a healthy one that leaves it green."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pytest
import torch

from recurra import BlankFiller, Forecaster, LanguageModel, SequenceClassifier, nn
from recurra.errors import DataError, UsageError
from recurra.inspect import health, subject_of
from recurra.inspect.core.sampling import some_subject
from recurra.inspect.health import _DataPass, history_lights

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN, "torch": torch.nn.LSTM}
DATA_LIGHTS = ["finite numbers", "spectral radius", "saturation", "dead units", "gradient reach", "gradient growth"]


def layer_of(kind, **options):
    torch.manual_seed(0)
    return LAYERS[kind](5, 32, batch_first=True, **options)


def noise(steps=20, size=1.0):
    return size * torch.randn(8, steps, 5, generator=torch.Generator().manual_seed(1))


def colours(card):
    return {light.name: light.light for light in card.lights}


@pytest.fixture(scope="module")
def classifier():
    random = np.random.default_rng(0)
    X = [random.normal(size=(random.integers(4, 12), 3)) for _ in range(240)]
    y = [int((x[:, 0] * x[:, 1]).sum() > 0) for x in X]  # no statistic of a single feature tells
    settings = {"hidden_size": 16, "epochs": 12, "batch_size": 16, "learning_rate": 0.01, "verbose": 0}
    return SequenceClassifier(validation_fraction=0.25, **settings).fit(X, y), X, y


# healthy


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one", "deep both"])
@pytest.mark.parametrize("kind", LAYERS)
def test_an_untrained_layer_is_green(kind, options):
    card = health(layer_of(kind, **options), noise())
    assert colours(card) == dict.fromkeys(DATA_LIGHTS, "green")
    assert (card.ok, card.worst) == (True, "green")
    assert card.missing == ["gradient of the loss: give targets too"]
    assert all(light.advice == "" and light.meaning for light in card.lights)


def test_a_trained_model_is_green(classifier):
    model, X, y = classifier
    card = health(model, X, y)
    history = ["training loss", "overfitting", "baselines", "new data"]
    assert colours(card) == dict.fromkeys([*DATA_LIGHTS, "gradient norm", *history], "green")
    assert card.missing == []


def test_without_data_weights_and_history_are_judged(classifier):
    card = health(classifier[0])
    expected = ["finite numbers", "spectral radius", "training loss", "overfitting", "baselines"]
    assert colours(card) == dict.fromkeys(expected, "green")
    assert card.missing == ["saturation, dead units and gradients: give some data"]
    assert card.gates == card.units == []


# sick


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_huge_inputs_saturate(kind):
    card = health(layer_of(kind), noise(size=300.0))
    assert card["saturation"].light == "red"
    assert "scale the inputs" in card["saturation"].advice
    assert not card.ok


def enlarged(kind, factor):
    layer = layer_of(kind)
    with torch.no_grad():
        for weight in layer.parameters():
            weight *= factor
    return colours(health(layer, noise(100)))


@pytest.mark.parametrize(("kind", "factor"), [("lstm", 20), ("gru", 10), ("rnn", 5)])
def test_an_exploding_beginning_is_red(kind, factor):
    assert enlarged(kind, factor)["gradient growth"] == "red"


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_enormous_recurrent_weights_are_red(kind):
    assert enlarged(kind, 100)["spectral radius"] == "red"


def test_dead_relus_are_red():
    layer = layer_of("rnn", nonlinearity="relu")
    assert health(layer, noise())["dead units"].light == "green"
    with torch.no_grad():
        layer.bias_ih_l0[:20] = -30.0
    card = health(layer, noise())
    assert card["dead units"].light == "red"
    assert card["dead units"].value == 20 / 32
    assert card.units[0].dead == list(range(20))


def test_a_plain_network_forgets_300_steps():
    card = health(layer_of("rnn"), noise(300))
    assert card["gradient reach"].light == "red"
    steps = int(re.fullmatch(r"0/forward: (\d+) of 300 steps", card["gradient reach"].where)[1])  # type: ignore[index]
    assert steps < 12
    assert "lstm or gru" in card["gradient reach"].advice


def test_reach_and_growth_of_a_known_network():
    """The gradient of a linear network with weights ρQ, Q orthogonal, is ρ^lag."""
    layer = layer_of("rnn", nonlinearity="relu", bias=False)
    with torch.no_grad():  # states stay positive, so that relu is linear
        layer.weight_hh_l0[:] = 0.8 * torch.eye(32)
        layer.weight_ih_l0[:] = 1.0
    card = health(layer, torch.ones(2, 50, 5))
    assert card["spectral radius"].value == pytest.approx(0.8)
    assert card["gradient reach"].where == "0/forward: 21 of 50 steps"  # 0.8^20 > 0.01 > 0.8^21
    assert card["gradient growth"].value == pytest.approx(1.0)
    with torch.no_grad():
        layer.weight_hh_l0[:] = 1.25 * torch.eye(32)
    card = health(layer, torch.ones(2, 50, 5))
    assert card["gradient growth"].value == pytest.approx(1.25**49, rel=1e-3)
    assert card["gradient growth"].light == "red"


def test_a_bad_input_is_named():
    values = noise()
    values[2, 3, 1] = torch.nan
    for name, model in (("the layer", layer_of("gru")), ("1", torch.nn.Sequential(torch.nn.ReLU(), layer_of("torch")))):
        card = health(model, values)
        assert card["finite numbers"].light == "red"
        assert card["finite numbers"].where == f"nan in input at step 3 of sequence 2, feature 1 of {name}"
        assert list(colours(card)) == ["finite numbers", "spectral radius"]  # what follows would say nothing


def test_a_bad_weight_is_named():
    layer = layer_of("lstm")
    with torch.no_grad():
        layer.weight_hh_l0[3, 4] = torch.inf
    card = health(layer, noise())
    assert (card["finite numbers"].light, card["finite numbers"].where) == ("red", "inf in weight weight_hh_l0[3, 4]")
    assert list(colours(card)) == ["finite numbers"]


def test_an_overflowing_state_is_named():
    layer = layer_of("rnn", nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0[:] = 1e13 * torch.eye(32)
        layer.weight_ih_l0[:] = 1.0
    card = health(layer, torch.ones(1, 6, 5))  # 5, 5e13, 5e26, 5e39
    assert card["finite numbers"].where == "inf in candidate of 0/forward/0 at step 3 of sequence 0"


def test_a_loss_whose_gradient_is_too_large_is_red():
    def card(size):
        return health(layer_of("gru"), noise(), loss=lambda output: size * output[0].square().sum((1, 2)))

    assert card(0.01)["gradient norm"].light == "green"
    assert card(1e6)["gradient norm"].light == "red"
    assert card(0.0)["gradient norm"].light == "red"


@pytest.mark.parametrize(
    ("losses", "valid", "best", "expected"),
    [
        ([1.0, 0.5, 0.3], [1.0, 0.6, 0.5], 3, ["green", "green"]),
        ([1.0, 1.1, 1.2, 1.1], None, 4, ["red"]),
        ([1.0, 1.0, 1.0, 1.0], None, 4, ["red"]),
        ([1.0, 1.1, 1.2], None, 3, ["yellow"]),  # of so few epochs nobody knows
        ([1.0, 0.995, 0.999], None, 3, ["yellow"]),
        ([1.0, 0.5, 0.1], [1.0, 0.6, 1.5], 3, ["green", "yellow"]),
        ([1.0, 0.5, 0.1], [1.0, 0.6, 1.5], 2, ["green", "green"]),  # the epoch before it was kept
        ([1.0], [1.0], 1, []),
        ([-1.0, -2.0], None, 2, ["green"]),
    ],
)
def test_histories(losses, valid, best, expected):
    history = [{"epoch": i + 1, "loss": loss} for i, loss in enumerate(losses)]
    if valid is not None:
        history = [row | {"valid_loss": v} for row, v in zip(history, valid, strict=True)]
    assert [light.light for light in history_lights(history, best)] == expected


# the card


def test_the_worst_stands_first_and_the_page_says_what_to_do():
    card = health(layer_of("rnn"), noise(300, size=300.0))
    order = [light.light for light in card.lights]
    assert order == sorted(order, key=["red", "yellow", "green"].index)
    page = repr(card)
    assert page.startswith("Health of RNN: red\n■ red    ")
    assert "→ scale the inputs" in page
    assert "not measured: gradient of the loss" in page
    with pytest.raises(UsageError, match="no 'pulse' on this card; there are"):
        card["pulse"]


def test_json_holds_all_figures():
    layer = layer_of("lstm", bidirectional=True)
    card = health(layer, noise())
    found = json.loads(card.to_json())
    assert (found["worst"], found["ok"], found["title"]) == ("green", True, "LSTM")
    assert [row["name"] for row in found["lights"]] == [light.name for light in card.lights]
    assert len(found["gates"]) == len(found["radii"]) == 8
    assert [row["units"] for row in found["units"]] == [32, 32]
    with torch.no_grad():
        layer.weight_hh_l0[:] = torch.nan

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json.loads(health(layer, noise()).to_json(), parse_constant=refuse)


def test_very_long_sequences_are_looked_at_in_little_memory(monkeypatch):
    layer, values = layer_of("lstm"), noise(200)
    whole = _DataPass(subject_of(layer, values))
    monkeypatch.setitem(_DataPass._serve.__globals__, "CHUNK_BYTES", 40_000)  # 52 of 200 steps of one sequence
    some = _DataPass(subject_of(layer, values))
    for a, b in zip(whole.gates, some.gates, strict=True):
        assert a.share == pytest.approx(b.share, abs=0.01)
    assert [use.dead for use in some.units] == [use.dead for use in whole.units] == [[]]


# data of every kind


def test_few_of_many_sequences_are_looked_at(classifier):
    model, X, y = classifier
    subject = some_subject(model, X, y, 10)
    assert len(subject.batch.lengths) == 10
    assert subject.batch.lengths.tolist() == [len(x) for x in X[::24]]
    columns = [np.array(y), pa.array(y), pa.chunked_array([y])]
    assert all(some_subject(model, X, c, 10).batch.targets.tolist() == subject.batch.targets.tolist() for c in columns)


def test_a_bad_row_keeps_its_number(classifier):
    model, X, y = classifier
    with pytest.raises(DataError) as found:
        some_subject(model, X, [None if i == 120 else label for i, label in enumerate(y)], 10)
    assert found.value.row == 120


def test_running_texts_and_texts_without_blanks():
    text = "the cat sat on the mat and the dog ran far away. " * 40
    model = LanguageModel(hidden_size=8, epochs=1, batch_size=4, verbose=0).fit(text)
    assert colours(health(model, text))["dead units"] == "green"
    texts = [f"the {a} likes the {b}" for a in ("cat", "dog", "cow") for b in ("man", "boy", "hen")] * 8
    filler = BlankFiller(hidden_size=8, epochs=1, batch_size=16, tokens="word", verbose=0).fit(texts)
    assert colours(health(filler, texts))["finite numbers"] == "green"


def test_a_forecaster():
    series = np.sin(np.arange(200) / 5)
    model = Forecaster(horizon=4, hidden_size=8, epochs=2, verbose=0).fit(series)
    assert {"saturation", "dead units", "gradient reach"} <= set(colours(health(model, series)))


# what it refuses


def test_what_cannot_be_looked_at(classifier):
    with pytest.raises(UsageError, match="no recurrent layer"):
        health(torch.nn.Linear(2, 3), torch.zeros(1, 2))
    with pytest.raises(UsageError, match="give an estimator of recurra, a torch module or a layer, not str"):
        health("model")
    with pytest.raises(ValueError, match="not fitted"):
        health(SequenceClassifier(), ["a"])
    with pytest.raises(DataError, match="empty"):
        health(layer_of("lstm"), torch.zeros(0, 3, 5))
    with pytest.raises(DataError, match="every sequence is empty"):
        health(classifier[0], [np.zeros((0, 3))])
