"""Serving the calls of a model's recurrent layers: which calls are seen, and that the model is unharmed afterwards."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from recurra import cells, nn
from recurra.errors import UsageError
from recurra.inspect.core.layers import LayerCall, as_ours, recurrent_layers, serving
from recurra.ops import recurrence

KINDS = ["RNN", "LSTM", "GRU"]


def run_unchanged(call: LayerCall):
    return recurrence(call.stack, call.values, call.weights, call.lengths, call.states, batch_first=True)


class Serve:
    """Serves run_unchanged and keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[LayerCall] = []

    def __call__(self, call: LayerCall):
        self.calls.append(call)
        return run_unchanged(call)


class Twice(torch.nn.Module):
    """Calls a layer twice, the second time with the state of the first; another one hangs below."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.below = torch.nn.ModuleDict({"deep": nn.GRU(3, 3, batch_first=True)})
        self.layer = layer

    def forward(self, x):
        x, _ = self.below["deep"](x)
        _, state = self.layer(x)
        return self.layer(x, state)[0]


def same(found, expected) -> None:
    if isinstance(found, tuple):
        for pair in zip(found, expected, strict=True):
            same(*pair)
    elif found is not None:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def variants(batch_first: bool):
    """Inputs of every form with initial states, as keyword arguments of a layer of two directions."""
    x = torch.randn(6, 3, 5)
    state = torch.randn(4, 3, 4)
    x = x.transpose(0, 1) if batch_first else x
    packed = pack_padded_sequence(x, torch.tensor([2, 6, 4]), batch_first, enforce_sorted=False)
    unbatched = x[0] if batch_first else x[:, 0]
    return {
        "dense": (x, None),
        "states": (x, state),
        "packed": (packed, None),
        "packed with states": (packed, state),
        "packed and sorted": (pack_sequence([torch.randn(n, 5) for n in (6, 4, 2)]), state),
        "unbatched": (unbatched, None),
        "unbatched with states": (unbatched, state[:, 0]),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("replace", [False, True])
def test_every_form_of_call_is_served_and_answers_the_same(room, kind, batch_first, replace):
    layer = getattr(room, kind)(5, 4, num_layers=2, bidirectional=True, batch_first=batch_first)
    for name, (x, state) in variants(batch_first).items():
        hx = (state, state) if kind == "LSTM" and state is not None else state
        expected = layer(x, hx)
        serve = Serve()
        with serving(layer, serve, replace=replace):
            found = layer(x, hx)
        same(found, expected)
        (call,) = serve.calls
        assert (call.name, call.number, call.part) == ("", 0, ""), name
        assert (call.states is None) == (hx is None)
        if name.startswith("packed"):
            assert sorted(call.lengths.tolist()) == [2, 4, 6]  # type: ignore[union-attr]
        else:
            assert call.lengths is None
        if room is torch.nn and not replace:  # what the layer really gave stands beside what was served
            assert call.real is not None
            same(run_unchanged(call)[0], call.real)
        else:
            assert call.real is None


def test_ragged_calls_of_ours():
    layer = nn.LSTM(5, 4, batch_first=True)
    x, serve = torch.randn(3, 6, 5), Serve()
    with serving(layer, serve):
        found = layer(x, lengths=[2, 0, 6])
    same(found, layer(x, lengths=[2, 0, 6]))
    assert serve.calls[0].lengths.tolist() == [2, 0, 6]  # type: ignore[union-attr]


def test_cells_of_ones_own():
    layer = nn.Recurrent(cells.GRU(), 5, 4, num_layers=2, bidirectional=True)
    x, states, serve = torch.randn(6, 3, 5), (torch.randn(4, 3, 4),), Serve()
    with serving(layer, serve):
        found = layer(x, states=states, lengths=[2, 0, 6])
        same(layer(x, states, [2, 0, 6]), found)
    same(found, layer(x, states, [2, 0, 6]))
    assert len(serve.calls) == 2


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_calls_are_numbered(room):
    model, x, serve = Twice(room.GRU(3, 4, batch_first=True)), torch.randn(2, 5, 3), Serve()
    with serving(model, serve):
        found = model(x)
    same(found, model(x))
    assert [call.part for call in serve.calls] == ["below.deep", "layer", "layer (call 2)"]
    assert [call.states is None for call in serve.calls] == [True, True, False]
    with serving(model, again := Serve()):
        model(x)
    assert [call.number for call in again.calls] == [0, 0, 1]


def test_names_of_layers():
    model = Twice(torch.nn.LSTM(3, 4))
    assert list(recurrent_layers(model)) == ["below.deep", "layer"]
    assert list(recurrent_layers(model.layer)) == [""]
    shared = torch.nn.Sequential(model.layer, model.layer)
    assert list(recurrent_layers(shared)) == ["0"]


@pytest.mark.parametrize("model", [torch.nn.Linear(2, 2), torch.nn.Sequential(), torch.nn.LSTMCell(2, 2)], ids=repr)
def test_models_without_recurrence(model):
    with pytest.raises(UsageError, match="no recurrent layer: there are no gates or states"):
        recurrent_layers(model)
    with pytest.raises(UsageError, match="baseline without memory"):
        recurrent_layers(torch.nn.Sequential(model, nn.Memoryless(2, 2)))


def photograph(model: torch.nn.Module) -> tuple:
    """All that serving might leave behind."""
    return (
        [(name, tensor.data_ptr(), tensor.requires_grad) for name, tensor in model.named_parameters()],
        list(model.state_dict()),
        [(name, type(module), sorted(module.__dict__), module.training) for name, module in model.named_modules()],
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
    )


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_the_model_is_unharmed(room):
    model, x, seen = Twice(room.LSTM(3, 4, batch_first=True)), torch.randn(2, 5, 3), []
    model.layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    model.layer.register_forward_hook(lambda *_: seen.append("after"))
    model(x).sum().backward()
    expected, before = model(x), photograph(model)
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    seen.clear()
    with serving(model, Serve()):
        assert photograph(model)[:2] == before[:2]
        model(x)
    assert seen == ["before", "after"] * 2
    assert photograph(model) == before
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, gradients[name], rtol=0, atol=0)


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_an_error_leaves_the_model_usable(room):
    model, x = Twice(room.GRU(3, 4, batch_first=True)), torch.randn(2, 5, 3)
    expected, before = model(x), photograph(model)

    def broken(call: LayerCall):
        raise KeyError("broken")

    with pytest.raises(KeyError), serving(model, broken):
        model(x)
    with pytest.raises((RuntimeError, ValueError)), serving(model, Serve()):
        model(x[..., :2])
    assert photograph(model) == before
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


def test_what_stood_in_before_comes_back():
    layer, x = torch.nn.GRU(3, 4), torch.randn(5, 2, 3)
    own = layer.forward
    layer.forward = lambda *arguments: (own(*arguments)[0] + 1, None)  # type: ignore[method-assign]
    standing, expected = layer.forward, layer(x)[0]
    outer, inner = Serve(), Serve()
    with serving(layer, outer), serving(layer, inner):
        torch.testing.assert_close(layer(x)[0], expected)
    assert layer.forward is standing
    assert len(outer.calls) == len(inner.calls) == 1
    torch.testing.assert_close(inner.calls[0].real, expected.transpose(0, 1))


@pytest.mark.parametrize("room", [nn, torch.nn], ids=["ours", "torch's"])
def test_parametrized_weights(room):
    layer, x, serve = room.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3), Serve()
    parametrizations.weight_norm(layer, "weight_hh_l0")
    with serving(layer, serve):
        found = layer(x)
    same(found, layer(x))
    same(run_unchanged(serve.calls[0])[0], found[0])


@pytest.mark.parametrize("kind", KINDS)
def test_our_twin_of_torchs_layer_shares_its_weights(kind):
    layer = getattr(torch.nn, kind)(3, 4, 2, bidirectional=True)
    twin = as_ours(layer)
    assert isinstance(twin, getattr(nn, kind))
    assert type(layer) is getattr(torch.nn, kind)
    assert [w.data_ptr() for w in twin.weights()] == [w.data_ptr() for w in layer._flat_weights]
    assert as_ours(twin) is twin
    assert isinstance(layer(pack_sequence([torch.randn(4, 3)]))[0], PackedSequence)
