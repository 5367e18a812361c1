"""`accelerate`: another engine under a model that otherwise stays what it was."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from recurra import nn
from recurra.nn import accelerate

EXACT = {"rtol": 0, "atol": 0}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # torch's float32 and ours
PAIRS = [(torch.nn.RNN, nn.RNN), (torch.nn.GRU, nn.GRU), (torch.nn.LSTM, nn.LSTM)]
every_pair = pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=["RNN", "GRU", "LSTM"])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


class Tagger(torch.nn.Module):
    """A small real model."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 4)
        self.recurrent = torch.nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = torch.nn.Linear(12, 3)

    def forward(self, tokens):
        return self.head(self.recurrent(self.embedding(tokens))[0])


def train(model, optimiser, steps=5):
    """Losses of some steps on fixed data, with dropout from a fixed seed."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(10, (8, 7), generator=generator)
    labels = torch.randint(3, (8, 7), generator=generator)
    torch.manual_seed(2)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), labels.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@every_pair
def test_a_layer_is_swapped_in_place_with_all_that_it_holds(theirs, ours):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ModuleDict({"deep": theirs(3, 4)}))
    layer, weights = model[1]["deep"], [*model.parameters()]
    before = layer(torch.ones(2, 1, 3))
    assert accelerate(model) is model
    assert model[1]["deep"] is layer
    assert type(layer) is ours
    assert type(model[0]) is torch.nn.Linear
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))
    torch.testing.assert_close(layer(torch.ones(2, 1, 3)), before, **CLOSE)
    output, _ = layer(torch.ones(2, 1, 3), lengths=[1])
    assert not output[1].any()


def test_the_model_itself_may_be_a_layer():
    layer = torch.nn.GRU(3, 4)
    assert accelerate(layer) is layer
    assert type(layer) is nn.GRU


def test_swapping_twice_is_swapping_once():
    layer = accelerate(accelerate(nn.GRU(3, 4, engine="reference")))
    assert type(layer) is nn.GRU
    assert layer.engine == "reference"


def test_a_layer_in_two_places_stays_one():
    layer = torch.nn.LSTM(3, 3)
    model = accelerate(torch.nn.ModuleList([layer, layer]))
    assert model[0] is model[1] is layer
    assert type(layer) is nn.LSTM


def test_what_a_subclass_computes_is_its_own():
    class Doubled(torch.nn.GRU):
        def forward(self, *args):
            return tuple(2 * result for result in super().forward(*args))

    model = accelerate(torch.nn.ModuleList([Doubled(3, 4), torch.nn.GRUCell(3, 4)]))
    assert [type(module) for module in model] == [Doubled, torch.nn.GRUCell]


def test_hooks_stay():
    layer, seen = torch.nn.GRU(3, 4), []
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    layer.register_forward_hook(lambda *_: seen.append("after"))
    layer.weight_hh_l0.register_hook(lambda _: seen.append("gradient"))
    accelerate(layer)(torch.ones(2, 1, 3))[0].sum().backward()
    assert seen == ["before", "after", "gradient"]


@pytest.mark.parametrize("engine", ["auto", "builtin", "reference"])
def test_a_model_trains_as_before_and_its_optimiser_goes_on(engine):
    model, twin = Tagger(), Tagger()
    twin.load_state_dict(model.state_dict())
    if engine != "builtin":  # drops other outputs
        model.recurrent.dropout = twin.recurrent.dropout = 0.0
    optimiser, its = (torch.optim.Adam(m.parameters(), lr=0.05) for m in (model, twin))
    assert train(model, optimiser) == train(twin, its)
    accelerate(model).recurrent.engine = engine
    losses = train(model, optimiser)
    assert losses[-1] < losses[0]
    if engine == "builtin":
        assert losses == train(twin, its)
        torch.testing.assert_close(model.state_dict(), twin.state_dict(), **EXACT)
    else:
        assert losses == pytest.approx(train(twin, its), rel=1e-5)


def test_the_weights_go_to_and_fro():
    plain, swapped = torch.nn.LSTM(3, 4, 2), accelerate(torch.nn.LSTM(3, 4, 2))
    file = io.BytesIO()
    torch.save(swapped.state_dict(), file)
    file.seek(0)
    plain.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(swapped(x), plain(x), **CLOSE)
    for assign in (False, True):
        other = torch.nn.LSTM(3, 4, 2)
        swapped.load_state_dict(other.state_dict(), assign=assign)
        torch.testing.assert_close(swapped(x), other(x), **CLOSE)


def pickled(module):
    return pickle.loads(pickle.dumps(module))  # noqa: S301  (its own bytes)


@every_pair
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_has_weights_of_its_own(theirs, ours, duplicate):
    layer = accelerate(theirs(3, 4, 2, bidirectional=True))
    x = torch.randn(5, 2, 3)
    before = layer(x)
    twin = duplicate(layer)
    assert type(twin) is ours
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
    torch.testing.assert_close(twin(x), before, **EXACT)
    twin(x)[0].sum().backward()
    assert all(weight.grad is not None for weight in twin.parameters())
    assert all(weight.grad is None for weight in layer.parameters())


@every_pair
def test_functional_call_uses_the_weights_it_is_given(theirs, ours):
    layer, other = accelerate(theirs(3, 4, 2)), theirs(3, 4, 2)
    assert type(layer) is ours
    given = {name: weight.detach().clone().requires_grad_() for name, weight in other.named_parameters()}
    x = torch.randn(5, 2, 3)
    own = layer(x)
    actual = torch.func.functional_call(layer, given, (x,))
    torch.testing.assert_close(actual, other(x), **CLOSE)
    gradients = torch.autograd.grad(actual[0].sum(), [*given.values()])
    wanted = torch.autograd.grad(other(x)[0].sum(), [*other.parameters()])
    torch.testing.assert_close(gradients, wanted, **CLOSE)
    torch.testing.assert_close(layer(x), own, **EXACT)


def test_a_parametrised_weight_is_computed_anew_at_every_call():
    layer, plain = accelerate(torch.nn.GRU(3, 4)), torch.nn.GRU(3, 4)
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    magnitude, x = layer.parametrizations.weight_hh_l0.original0, torch.randn(5, 2, 3)
    for scale in (1.0, 0.5):
        with torch.no_grad():
            magnitude.mul_(scale)
        plain.load_state_dict({name: getattr(layer, name) for name in plain.state_dict()})
        torch.testing.assert_close(layer(x), plain(x), **CLOSE)
    layer(x)[0].sum().backward()
    assert magnitude.grad.any()


@every_pair
def test_gradients_flow_after_eval(theirs, ours):
    layer = accelerate(theirs(3, 4, 2)).eval()
    x = torch.randn(5, 2, 3, requires_grad=True)
    layer(x)[0].sum().backward()
    assert type(layer) is ours
    assert x.grad.any()
    assert all(weight.grad.any() for weight in layer.parameters())


def test_a_model_moves_to_another_dtype():
    layer = accelerate(torch.nn.LSTM(3, 4))
    output, _ = layer.double()(torch.randn(5, 2, 3, dtype=torch.float64), lengths=[5, 2])
    assert output.dtype == torch.float64
