"""Dropped recurrent weights: one mask for all steps of a call, in training only, on every way of a call."""

from __future__ import annotations

import pickle

import pytest
import torch

from recurra import cells, nn
from recurra.errors import UsageError
from recurra.ops import batch_part
from recurra.tasks.base import Estimator

LAYERS = {
    "lstm": lambda **o: nn.LSTM(5, 8, **o),
    "gru": lambda **o: nn.GRU(5, 8, num_layers=2, bidirectional=True, dropout=0.3, **o),
    "rnn": lambda **o: nn.RNN(5, 8, memory="recompute", **o),
    "reference": lambda **o: nn.GRU(5, 8, engine="reference", **o),
    "own cell": lambda **o: nn.Recurrent(cells.GRU(), 5, 8, **o),
}


def run(layer, x, seed=1):
    torch.manual_seed(seed)
    return layer(x, lengths=torch.tensor([7, 4, 0]))[0]


@pytest.fixture(params=LAYERS)
def pair(request):
    """A layer that drops weights, and the same layer without it."""
    torch.manual_seed(0)
    layer, plain = LAYERS[request.param](weight_dropout=0.5), LAYERS[request.param]()
    plain.load_state_dict(layer.state_dict())
    return layer, plain


def test_a_call_is_that_of_a_layer_with_the_masked_weights(pair):
    layer, plain = pair
    x = torch.randn(7, 3, 5)
    torch.manual_seed(1)
    names = [name for name, _ in layer.stack.named_shapes()]
    weights = dict(zip(names, layer.weights(), strict=True))
    after = torch.get_rng_state()
    for name, weight in weights.items():
        kept = weight != 0
        assert torch.equal(weight[kept], (plain.get_parameter(name) * (2 if "weight_hh" in name else 1))[kept])
        assert 0.3 < float(kept.float().mean()) < 0.7 or "weight_hh" not in name
    with torch.no_grad():
        for name, weight in weights.items():
            plain.get_parameter(name).copy_(weight)
    found = run(layer, x)
    torch.set_rng_state(after)  # the masks between the layers come next
    assert torch.equal(found, plain(x, lengths=torch.tensor([7, 4, 0]))[0])
    with torch.no_grad():
        torch.testing.assert_close(run(layer, x), found, rtol=0, atol=1e-6)
    found.sum().backward()
    dropped = weights["weight_hh_l0"] == 0
    assert not layer.get_parameter("weight_hh_l0").grad[dropped].any()
    assert layer.get_parameter("weight_hh_l0").grad[~dropped].any()


def test_nothing_is_dropped_in_evaluation(pair):
    layer, plain = pair
    x = torch.randn(7, 3, 5)
    assert torch.equal(run(layer.eval(), x), run(plain.eval(), x, seed=2))
    assert pickle.loads(pickle.dumps(layer)).weight_dropout == 0.5  # noqa: S301


def test_parts_of_a_batch_have_the_mask_of_the_whole_batch():
    torch.manual_seed(0)
    layer, x = nn.LSTM(5, 8, weight_dropout=0.5, batch_first=True), torch.randn(6, 7, 5)
    torch.manual_seed(1)
    whole = layer(x)[0]
    torch.manual_seed(1)
    with batch_part(2, 3, rows=6):
        part = layer(x[2:5])[0]
    torch.testing.assert_close(part, whole[2:5], rtol=0, atol=1e-6)


def test_every_network_takes_it():
    spec = nn.RecurrentSpec("gru", hidden_size=4, weight_dropout=0.25)
    assert spec.build(3).weight_dropout == 0.25
    assert nn.SequenceEncoder(10, 4, weight_dropout=0.25).recurrent.weight_dropout == 0.25
    assert nn.ContextNetwork(10, 4, weight_dropout=0.25).forwards.weight_dropout == 0.25
    assert Estimator(weight_dropout=0.25)._recurrent().weight_dropout == 0.25
    assert nn.SequenceEncoder(3, cell="none", weight_dropout=0.25).recurrent is not None


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_wrong_probabilities(share):
    with pytest.raises(UsageError, match="weight_dropout must lie in"):
        nn.LSTM(5, 8, weight_dropout=share)
    with pytest.raises(UsageError, match="weight_dropout must lie in"):
        nn.Recurrent(cells.GRU(), 5, 8, weight_dropout=share)
