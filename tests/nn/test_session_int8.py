"""Sessions with weights in 8 bits, against the quantized computation in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra import cells, nn
from recurra.errors import EngineError, UsageError
from recurra.ops.native import bindings

pytestmark = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")
KINDS = {
    "rnn": nn.RNN,
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "projection": lambda *a, **k: nn.LSTM(*a, proj_size=3, **k),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def products(weight, x):
    """Returns `weight @ x.T` with 8 bits for each weight and 16 bits for each input."""
    weight, x = weight.detach().numpy(), x.numpy()
    row = np.abs(weight).max(1)
    q = np.rint(weight * (np.float32(127) / row)[:, None]).astype(np.int64)
    most = np.abs(x).max(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        inputs = np.rint(x * np.where(most == 0, 0, np.float32(32639) / most)[:, None]).astype(np.int64)
    scales = (row / np.float32(127)) * (most / np.float32(32639))[:, None]
    return torch.from_numpy((inputs @ q.T).astype(np.float32) * scales)


def next_states(layer, number, x, h, c):
    """Returns h and c of one layer after a step, by the equations of torch."""
    names = ["weight_ih", "weight_hh"] + (["bias_ih", "bias_hh"] if layer.bias else [])
    w_ih, w_hh, *biases = (getattr(layer, f"{name}_l{number}") for name in names)
    b_ih, b_hh = biases or (torch.zeros(len(w_ih)),) * 2
    gi, gh = products(w_ih, x) + b_ih, products(w_hh, h) + b_hh
    if isinstance(layer, nn.GRU):
        (ri, zi, ni), (rh, zh, nh) = gi.chunk(3, 1), gh.chunk(3, 1)
        new, update = torch.tanh(ni + torch.sigmoid(ri + rh) * nh), torch.sigmoid(zi + zh)
        return new + update * (h - new), None
    if isinstance(layer, nn.RNN):
        return (torch.relu if layer.nonlinearity == "relu" else torch.tanh)(gi + gh), None
    i, f, g, o = (gi + gh).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h @ getattr(layer, f"weight_hr_l{number}").T if layer.proj_size else h), c


@every_kind
@pytest.mark.parametrize(("features", "units"), [(1, 5), (13, 37), (130, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_step_is_the_quantized_computation(kind, features, units, bias):
    torch.manual_seed(0)
    layer = KINDS[kind](features, units, 2, bias=bias)
    session = layer.session(3, torch.int8)
    with torch.no_grad():
        for x in torch.randn(6, 3, features) * torch.tensor([1.0, 100.0, 0.0])[:, None]:
            before = session.state
            y = session.step(x)
            after = session.state
            h, c = before if isinstance(before, tuple) else (before, [None, None])
            found_h, found_c = after if isinstance(after, tuple) else (after, [None, None])
            torch.testing.assert_close(y, found_h[-1], rtol=0, atol=0)
            for number, below in enumerate([x, found_h[0]]):
                # from the states that the session had: a rounded number may differ after small differences
                expected = next_states(layer, number, below, h[number], c[number])
                near = 2e-6 * max(1.0, float(expected[0].abs().max()))
                torch.testing.assert_close(found_h[number], expected[0], rtol=1e-6, atol=near)
                if expected[1] is not None:
                    torch.testing.assert_close(found_c[number], expected[1], rtol=1e-6, atol=2e-6)


@every_kind
def test_long_runs_stay_close_to_float32(kind):
    torch.manual_seed(0)
    layer = KINDS[kind](8, 48)
    exact, rounded = layer.session(2), layer.session(2, torch.int8)
    x = torch.randn(100, 2, 8)
    found = torch.stack([rounded.step(row) for row in x])
    expected = torch.stack([exact.step(row) for row in x])
    assert (found - expected).abs().max() < 0.02 * max(1, expected.abs().max())
    assert not torch.equal(found, expected)  # the weights are rounded


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_stay_in_their_sequence(wrong):
    torch.manual_seed(0)
    layer, x = nn.LSTM(4, 20), torch.randn(3, 4)
    expected = layer.session(3, torch.int8).step(x)
    x[1, 2] = wrong
    found = layer.session(3, torch.int8).step(x)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=0, atol=0)


def test_a_weight_that_is_not_finite_changes_its_unit_only():
    torch.manual_seed(0)
    layer, x = nn.RNN(4, 20), torch.randn(1, 4)
    expected = layer.session(1, torch.int8).step(x)
    with torch.no_grad():
        layer.weight_ih_l0[7, 1] = float("inf")
    found = layer.session(1, torch.int8).step(x)
    assert found[0, 7].isnan()
    others = torch.arange(20) != 7
    torch.testing.assert_close(found[:, others], expected[:, others], rtol=0, atol=0)


def test_int8_sessions_that_cannot_be():
    with pytest.raises(EngineError, match="no engine has sessions of the cell 'mgu' with int8 weights"):
        nn.Recurrent(cells.MGU(), 3, 4).session(weights=torch.int8)
    layer = nn.RNN((1 << 17) + 1, 1)
    with pytest.raises(UsageError, match="int8 weights takes at most 131,072 features and units"):
        layer.session(weights=torch.int8)
