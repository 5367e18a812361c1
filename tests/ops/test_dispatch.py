"""An engine from outside the package: in this one file it is defined, used and explained."""

from __future__ import annotations

import pytest
import torch

import recurra
from recurra import cells, nn, ops
from recurra.errors import EngineError, UsageError
from recurra.ops import reference, registry


# --8<-- [start:engine]
class Toy:
    """Serves GRUs, by the reference loop, and counts its calls."""

    name = "toy"

    def __init__(self):
        self.calls = 0

    def refuses(self, call):
        return None if isinstance(call.stack.cell, cells.GRU) else "it serves GRUs only"

    def run(self, call, values, weights, lengths, states):
        self.calls += 1
        return reference.run(call, values, weights, lengths, states)


# --8<-- [end:engine]


# --8<-- [start:fast]
class Quick(Toy):
    """Also offers the optional functions; here each of them gives numbers that no other engine gives."""

    def fast_layer(self, stack):
        return QuickLayer() if isinstance(stack.cell, cells.GRU) else None

    def record(self, call, values, weights, lengths, states, sizes):
        output, last = self.run(call, values, weights, lengths, states)
        return output, last, {name: values.new_full((size,), 7.0) for name, size in sizes.items()}

    def open_session(self, stack, weights, batch, *, bf16):
        return QuickSession(torch.full((batch, stack.hidden_size), 7.0))

    def describe(self):
        return {"built": True}


class QuickLayer:
    """Serves input with 3 dimensions and leaves everything else to `run`."""

    def forward(self, parameters, values, states, lengths, batch_first):
        if values.dim() != 3:
            return None
        size = parameters["weight_hh_l0"].shape[1]
        return values.new_full((*values.shape[:2], size), 7.0), values.new_full((1, values.shape[1], size), 7.0)

    def step(self, parameters, values, states):
        return None

    def train(self, weights, values, states, lengths, *, batch_first, dropout, bf16):
        output, last = self.forward({"weight_hh_l0": weights[1]}, values, states, lengths, batch_first)
        return output * weights[1].sum() ** 0, last


class QuickSession:
    """A step session whose states are what was last written."""

    def __init__(self, hidden):
        self.hidden = hidden

    def step(self, values):
        return self.hidden

    def reset(self):
        self.hidden = torch.zeros_like(self.hidden)

    def read(self, states):
        states[0][0] = self.hidden

    def write(self, states):
        self.hidden = states[0][0].clone()


# --8<-- [end:fast]


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    engine = Toy()
    ops.register_engine(engine)
    return engine


def test_a_registered_engine_serves_the_layers_that_name_it(toy):
    layer, x = nn.GRU(3, 4, engine="toy"), torch.randn(5, 2, 3)
    for lengths in (None, [5, 2]):
        output, _ = layer(x, lengths=lengths)
        layer.engine = "reference"
        assert torch.equal(output, layer(x, lengths=lengths)[0])
        layer.engine = "toy"
    assert toy.calls == 2
    assert str(ops.explain(layer, x)) == "served by toy"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    engine = Quick()
    ops.register_engine(engine)
    return engine


def test_a_layer_uses_the_fast_layer_of_the_engine_that_it_names(quick):
    layer, x = nn.GRU(3, 4, engine="toy"), torch.randn(5, 2, 3)
    with torch.no_grad():
        assert layer(x)[0].eq(7).all()
        unbatched, _ = layer(x[:, 0])  # left to `run`
        assert quick.calls == 1
        layer.step(x[0])
        assert quick.calls == 1  # the step runs as a call of one time step
        layer.engine = "reference"
        torch.testing.assert_close(unbatched, layer(x[:, 0])[0])
        assert not layer(x)[0].eq(7).any()
    layer.engine = "toy"
    output, _ = layer(x)
    assert output.eq(7).all()
    assert output.requires_grad
    assert nn.LSTM(3, 4, engine="toy")._fast_layers["toy"] is None


def test_recording_and_sessions_of_a_registered_engine(quick):
    layer, x = nn.GRU(3, 4, engine="toy"), torch.randn(2, 5, 3)
    found = ops.record(layer.stack, x, layer.weights(), engine="toy", names=["update"])
    assert (found.engine, list(found.arrays)) == ("toy", ["update"])
    assert found.arrays["update"].eq(7).all()
    assert ops.record(layer.stack, x, layer.weights()).engine != "toy"
    session = layer.session(2)
    assert session.step(x[:, 0]).eq(7).all()
    session.state = torch.ones(1, 2, 4)
    assert session.state.eq(1).all()
    session.reset()
    assert session.state.eq(0).all()


def test_an_engine_without_the_optional_functions_leaves_them_to_the_others(toy):
    layer, x = nn.GRU(3, 4, engine="toy"), torch.randn(2, 5, 3)
    found = ops.record(layer.stack, x, layer.weights(), engine="toy")
    assert found.engine == "reference"
    assert layer._fast_layers["toy"] is None


def test_earlier_names_still_work():
    stack = ops.Stack(cells.GRU(), 3, 4)
    with pytest.warns(DeprecationWarning, match="CallSpec"):
        assert ops.Call is ops.CallSpec
    with pytest.warns(DeprecationWarning, match="fast_layer"):
        fast = ops.quick_layer(stack)
    layer, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with pytest.warns(DeprecationWarning, match="open_session"):
        session = ops.open_stream(stack, [w.detach() for w in layer.weights()], 2, half=False)
    with pytest.warns(DeprecationWarning, match="train"):
        train = ops.quick_training
    if fast is None:
        pytest.skip("the native engine was not built")
    assert session.step(x[0]).shape == (2, 4)
    options = {"batch_first": False, "dropout": 0.0, "half": False}
    assert torch.equal(train(fast, tuple(layer.weights()), x, None, None, **options)[0], layer(x)[0])


def test_a_registered_engine_refuses_with_its_reason(toy):
    layer, x = nn.LSTM(3, 4, engine="toy"), torch.randn(5, 2, 3)
    assert ops.explain(layer, x).refusals == {"toy": "it serves GRUs only"}
    with pytest.raises(EngineError, match="not toy: it serves GRUs only"):
        layer(x)


def test_estimators_train_and_load_with_a_registered_engine(toy, tmp_path):
    texts = ["good day", "bad day"] * 8
    options = {"cell": "gru", "engine": "toy", "hidden_size": 4, "epochs": 1, "verbose": 0}
    model = recurra.SequenceClassifier(**options).fit(texts, ["good", "bad"] * 8)
    assert toy.calls
    model.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    assert loaded.predict_proba(texts).tolist() == model.predict_proba(texts).tolist()


@pytest.mark.parametrize("name", ["auto", "native", "reference"])
def test_names_of_built_in_engines_are_taken(toy, name):
    toy.name = name
    with pytest.raises(UsageError, match="taken"):
        ops.register_engine(toy)


def other(text):
    """An equal string that is another object, as those that are read from a file."""
    return "".join(list(text))


@pytest.mark.parametrize("name", ["auto", "native", "reference"])
def test_names_of_engines_are_compared_by_value(name):
    assert registry.candidates(other(name)) == registry.candidates(name)
