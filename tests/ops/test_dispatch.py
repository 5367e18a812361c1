"""An engine from outside the package: in this one file it is defined, used and explained."""

from __future__ import annotations

import pytest
import torch

import recurra
from recurra import cells, nn, ops
from recurra.errors import EngineError, UsageError
from recurra.ops import dispatch, reference


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


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(dispatch, "_registered", {})
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
