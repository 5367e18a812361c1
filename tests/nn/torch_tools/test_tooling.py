"""Layers and the tools of torch: signatures, print, torch.fx, torch.jit.script and quantization."""

from __future__ import annotations

import copy
import inspect
import typing

import pytest
import torch

import recurra
from recurra import nn
from recurra.errors import EngineError, UsageError

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in (
        "`torch.jit.script` is deprecated",
        "`torch.jit.script_method` is deprecated",
        "torch.ao.quantization is deprecated",
        "torch.quantize_per_tensor",
    )
]
EXACT = {"rtol": 0, "atol": 0}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # torch's float32 and ours
LAYERS, CELLS = ("RNN", "GRU", "LSTM"), ("RNNCell", "GRUCell", "LSTMCell")
OURS = {getattr(nn, kind) for kind in LAYERS + CELLS}


class Own(nn.LSTM):
    """A layer of a user."""


def quantized(model):
    return torch.ao.quantization.quantize_dynamic(model)


def quantized_by_our_types(model):
    return torch.ao.quantization.quantize_dynamic(model, OURS)


class Model(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("kind", LAYERS + CELLS)
@pytest.mark.parametrize(
    ("tool", "refused"),
    [(torch.fx.symbolic_trace, False), (torch.jit.script, True), (quantized, False), (quantized_by_our_types, False)],
    ids=["fx", "script", "quantize", "quantize our types"],
)
def test_a_tool_of_torch_works_or_says_what_to_do_and_works_after_restore(tool, refused, kind):
    model, twin = (Model(getattr(library, kind)(4, 8)).eval() for library in (nn, torch.nn))
    twin.load_state_dict(model.state_dict())
    x = torch.randn(3, 4) if kind in CELLS else torch.randn(5, 3, 4)
    made = tool(twin)
    expected, quantizes = made(x), type(made.layer).__module__.startswith("torch.ao")
    assert quantizes == ("quantized" in tool.__name__ and kind != "RNN")
    if refused:
        with pytest.raises(EngineError, match=rf"recurra\.nn\.{kind}; call recurra\.restore\(model\) first"):
            tool(model)
    else:
        found = tool(copy.deepcopy(model))
        torch.testing.assert_close(found(x), expected, **CLOSE)
        assert type(found.layer) is (type(made.layer) if quantizes else getattr(nn, kind))
    torch.testing.assert_close(tool(recurra.restore(model))(x), expected, **EXACT)


def test_a_subclass_is_not_quantized_like_one_of_torchs():
    class Theirs(torch.nn.LSTM):
        pass

    for kind in (Own, Theirs):
        assert type(quantized(Model(kind(4, 8))).layer) is kind


@pytest.mark.parametrize("kind", ["Recurrent", "Reversed"])
def test_layers_that_torch_has_not(kind):
    layer = nn.Recurrent("mgu", 4, 8) if kind == "Recurrent" else nn.Reversed(nn.LSTM(4, 8))
    model, x = Model(layer).eval(), torch.randn(5, 3, 4)
    expected = model(x)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), expected, **EXACT)
    with pytest.raises(EngineError, match=rf"cannot compile recurra\.nn\.{kind}; use .*torch\.jit\.trace"):
        torch.jit.script(model)
    torch.testing.assert_close(recurra.restore(model)(x), expected, **CLOSE)


@pytest.mark.parametrize("kind", LAYERS + CELLS)
def test_torch_fx_needs_a_model_around_the_layer(kind):
    with pytest.raises(UsageError, match="trace a model that contains it"):
        torch.fx.symbolic_trace(getattr(nn, kind)(4, 8))


def test_a_loop_over_a_cell_is_traced():
    class Loop(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.LSTMCell(4, 8)

        def forward(self, h, c):
            for step in torch.ones(3, 2, 4):  # the input is known, the state is not
                h, c = self.cell(step, (h, c))
            return h, c

    model, state = Loop(), (torch.randn(2, 8), torch.randn(2, 8))
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(*state), model(*state), **EXACT)


@pytest.mark.parametrize("kind", LAYERS + CELLS)
def test_the_constructor_has_the_parameters_of_torchs(kind):
    theirs = getattr(torch.nn, kind).__init__
    declared = typing.get_overloads(theirs)
    torchs, ours = (inspect.signature(f).parameters for f in (declared[0] if declared else theirs, getattr(nn, kind)))
    shared = [p for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in shared] == [(p.name, p.default) for p in torchs.values() if p.name != "self"]
    hints = typing.get_type_hints(getattr(nn, kind).__init__)
    typed = typing.get_type_hints(declared[0] if declared else theirs)
    assert {name: hints[name] for name in typed} == typed
    forward = inspect.signature(getattr(nn, kind).forward, eval_str=True)
    assert [*forward.parameters] == ["self", "input", "hx", "lengths"][: 4 if kind in LAYERS else 3]
    assert all(p.annotation is not p.empty for p in [*forward.parameters.values()][1:])


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.LSTM(2, 3, proj_size=1), "recurra.nn.LSTM(2, 3, proj_size=1)"),
        (
            nn.GRU(2, 3, engine="reference", memory="recompute"),
            "recurra.nn.GRU(2, 3, engine='reference', memory='recompute')",
        ),
        (
            nn.RNN(2, 3, nonlinearity="relu", precision="bfloat16"),
            "recurra.nn.RNN(2, 3, nonlinearity='relu', precision='bfloat16')",
        ),
        (nn.LSTMCell(2, 3), "recurra.nn.LSTMCell(2, 3)"),
        (
            nn.Recurrent("mgu", 2, 3, weight_dropout=0.5),
            "recurra.nn.Recurrent(mgu, 2, 3, num_layers=1, bidirectional=False, batch_first=False, weight_dropout=0.5)",
        ),
        (Own(2, 3), "Own(2, 3)"),
        (recurra.restore(nn.LSTM(2, 3, engine="native")), "LSTM(2, 3)"),
    ],
    ids=["LSTM", "GRU", "RNN", "LSTMCell", "Recurrent", "subclass", "restored"],
)
def test_printing_shows_whose_layer_it_is_and_its_options(layer, text):
    assert repr(layer) == text
