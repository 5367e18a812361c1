"""Infinities and NaN give in the native engine what they give in torch."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra import nn
from recurra.ops.native import bindings

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
CLOSE = {"rtol": 1e-4, "atol": 1e-5, "equal_nan": True}
KINDS: dict[str, tuple[Any, Any, dict]] = {
    "tanh": (nn.RNN, torch.nn.RNN, {}),
    "relu": (nn.RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, torch.nn.GRU, {}),
    "lstm": (nn.LSTM, torch.nn.LSTM, {}),
    "projection": (nn.LSTM, torch.nn.LSTM, {"proj_size": 3}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_value = pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=["nan", "inf", "-inf"])
NO_ONEDNN = "ignore:LSTM with projections is not supported with oneDNN"


def build(kind: str, inputs: int = 3, units: int = 17, layers: int = 2, **more: Any) -> tuple[Any, Any]:
    """A layer of ours and torch's with the same weights."""
    torch.manual_seed(0)
    ours, theirs, options = KINDS[kind]
    layer = ours(inputs, units, layers, engine="native", **options, **more)
    twin = theirs(inputs, units, layers, **options, **more)
    twin.load_state_dict(layer.state_dict())
    return layer, twin


def put(value: float, name: str, place: int, *layers: torch.nn.Module) -> None:
    for layer in layers:
        getattr(layer, name).detach().view(-1)[place] = value


def flat(result: tuple[Tensor, Any]) -> list[Tensor]:
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def finite(tensors: Any) -> list[Tensor]:
    """What is not finite as NaN: the sum of two infinite gradients depends on the order of the formula."""
    return [torch.where(t.isfinite(), t, torch.nan) for t in tensors]


def gradients(layer: Any, run: Any, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    output = run(layer, x)[0]
    return [*torch.autograd.grad(output.sum(), [x, *layer.parameters()])]


def packed(layer: Any, x: Tensor, lengths: Tensor) -> Any:
    output, state = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    return pad_packed_sequence(output, total_length=len(x))[0], state


@pytest.mark.filterwarnings(NO_ONEDNN)
@every_kind
@every_value
@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (3, 2), (5, 9)], ids=["one step", "wide", "few", "many"])
@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_a_recurrent_weight_that_is_not_finite_counts_from_the_first_step(kind, value, shape, both):
    layer, twin = build(kind, bidirectional=both)
    put(value, "weight_hh_l0", 5, layer, twin)
    x = torch.randn(*shape, 3)
    with torch.no_grad():
        found, expected = layer(x), twin(x)
        torch.testing.assert_close(flat(found), flat(expected), **CLOSE)
        if value != value:
            assert found[0][0].isnan().any()
    for memory in ("full", "recompute"):
        layer.memory = memory
        torch.testing.assert_close(flat(layer(x)), flat(expected), **CLOSE)
        actual = gradients(layer, lambda m, v: m(v), x)
        torch.testing.assert_close(finite(actual), finite(gradients(twin, lambda m, v: m(v), x)), **CLOSE)


@pytest.mark.filterwarnings(NO_ONEDNN)
@every_kind
@every_value
def test_ragged_batches_agree_with_packed_ones(kind, value):
    layer, twin = build(kind, bidirectional=True)
    put(value, "weight_hh_l0_reverse", 5, layer, twin)
    x, lengths = torch.randn(5, 4, 3), torch.tensor([2, 5, 1, 4])
    with torch.no_grad():
        torch.testing.assert_close(flat(layer(x, lengths=lengths)), flat(packed(twin, x, lengths)), **CLOSE)
    actual = gradients(layer, lambda m, v: m(v, lengths=lengths), x)
    expected = gradients(twin, lambda m, v: packed(m, v, lengths), x)
    torch.testing.assert_close(finite(actual), finite(expected), **CLOSE)


@pytest.mark.filterwarnings(NO_ONEDNN)
@every_kind
@every_value
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "weight_hh_l1", "bias_hh_l0"])
@pytest.mark.parametrize("units", [4, 17])
def test_step_and_session_agree_with_torch(kind, value, name, units):
    layer, twin = build(kind, units=units)
    put(value, name, 2, layer, twin)
    x = torch.randn(3, 2, 3)
    with torch.no_grad():
        expected, state = twin(x)[0], None
        found = []
        for row in x:
            output, state = layer.step(row, state)
            found.append(output)
        torch.testing.assert_close(torch.stack(found), expected, **CLOSE)
    session = layer.session(2)
    torch.testing.assert_close(torch.stack([session.step(row) for row in x]), expected, **CLOSE)


@every_value
def test_a_session_of_bfloat16_agrees_with_rounded_weights(value):
    layer, twin = build("lstm", layers=1)
    with torch.no_grad():
        for model in (layer, twin):
            for weight in model.parameters():
                weight.copy_(weight.bfloat16().float())
            model.weight_hh_l0[20, 2] = model.weight_ih_l0[7, 1] = value
    x = torch.randn(2, 4, 3)
    x[1, 2, 0] = value
    session = layer.session(4, weights=torch.bfloat16)
    with torch.no_grad():
        expected = twin(x)[0]
    found = torch.stack([session.step(row) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2, equal_nan=True)


@every_kind
@every_value
@pytest.mark.filterwarnings(NO_ONEDNN)
def test_a_gradient_that_is_not_finite_reaches_the_weights(kind, value):
    # at the first step the state is zero, and zero times NaN is NaN
    layer, twin = build(kind, layers=1)
    x = torch.randn(4, 3, 3)
    found = []
    for model in (layer, twin):
        output = model(x)[0]
        gradient = torch.ones_like(output)
        gradient[0, 1, 2] = value
        found.append(finite(torch.autograd.grad(output, [*model.parameters()], gradient)))
    torch.testing.assert_close(*found, **CLOSE)
    if kind != "relu":  # where a unit is inactive, no gradient comes through
        assert found[0][1].isnan().any()


def test_a_closed_gate_is_exactly_closed():
    # 0 times infinity is NaN: a forget gate that is only nearly 0 would keep the infinity
    layer, twin = build("lstm", layers=1)
    for model in (layer, twin):
        model.bias_hh_l0.detach()[17:34] = -200.0
    state = torch.zeros(1, 1, 17), torch.full((1, 1, 17), torch.inf)
    with torch.no_grad():
        expected = twin(torch.randn(2, 1, 3), state)
        found = layer(torch.randn(2, 1, 3), state)
        assert expected[0].isnan().all()
        assert found[0].isnan().all()


@pytest.mark.slow
@pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
def test_other_instruction_sets_agree_with_torch():
    others = [isa for isa in bindings.engine.instruction_sets() if isa != bindings.engine.chosen()]
    if os.environ.get("RECURRA_ISA") or not others:
        pytest.skip("only one instruction set, or one was asked for")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "closed or (nan and (many or 17))"]
    for isa in others:
        environment = {**os.environ, "RECURRA_ISA": isa, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*command, __file__], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def _in_place(weight: Tensor) -> None:
    with torch.no_grad():
        weight[0, 0] = torch.nan


def _other_memory(weight: Tensor) -> None:
    weight.data = torch.full_like(weight, torch.nan)


def _by_an_optimizer(weight: Tensor) -> None:
    weight.grad = torch.full_like(weight, torch.nan)
    torch.optim.SGD([weight], lr=1.0).step()


@pytest.mark.parametrize("change", [_in_place, _other_memory, _by_an_optimizer])
@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_change_after_a_call_is_seen_by_the_next_one(change, batch, layers):
    layer, x = nn.LSTM(3, 17, layers, engine="native"), torch.randn(1, batch, 3)
    with torch.no_grad():
        for run in (layer, lambda x: layer.step(x[0]), layer):
            assert run(x)[0].isfinite().all()
    before = [w.detach().clone() for w in layer.parameters()]
    change(layer.get_parameter(f"weight_hh_l{layers - 1}"))
    with torch.no_grad():
        assert layer(x)[0].isnan().any()
        assert layer.step(x[0])[0].isnan().any()
        for weight, value in zip(layer.parameters(), before, strict=True):
            weight.copy_(value)
        assert layer(x)[0].isfinite().all()
    assert layer(x)[0].isfinite().all()
    change(layer.get_parameter("weight_hh_l0"))
    assert layer(x)[0].isnan().any()


def test_weights_of_inference_mode_are_looked_at_in_every_call():
    with torch.inference_mode():
        layer, x = nn.GRU(3, 5, engine="native"), torch.randn(1, 1, 3)
        assert layer(x)[0].isfinite().all()
        layer.weight_hh_l0[0, 0] = torch.nan
        assert layer(x)[0].isnan().any()
