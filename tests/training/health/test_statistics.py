"""Measures of recurrent layers against values that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recurra import nn
from recurra.ops import record
from recurra.training.health.statistics import Activity, bad_inputs, bad_weights, saturation, spectral_radii


def zeroed(layer):
    for weight in layer.parameters():
        torch.nn.init.zeros_(weight)
    return layer


def activity_of(layer, values, lengths=None):
    found = Activity("part", layer.stack)
    found.run(values, layer.weights(), lengths, None)
    return found


def logit(p):
    return math.log(p / (1 - p))


def test_saturation_counts_the_gates_at_their_ends():
    layer = zeroed(nn.LSTM(1, 4, batch_first=True))
    with torch.no_grad():  # input gates at 0.01 in two units and at 0.5 in two; forget gates open; candidates at ±0.99
        layer.bias_ih_l0[:2] = logit(0.01)
        layer.bias_ih_l0[4:8] = logit(0.99)
        layer.bias_ih_l0[8:12] = torch.tensor([1, -1, 1, 0]) * math.atanh(0.99)
    found = {use.gate: (use.low, use.high, use.share) for use in activity_of(layer, torch.zeros(3, 5, 1)).gates()}
    assert found == {
        "input": (0.5, 0.0, 0.5),
        "forget": (0.0, 1.0, 0.0),  # an open forget gate remembers
        "candidate": (0.25, 0.5, 0.75),
        "output": (0.0, 0.0, 0.0),
    }
    (layer_use,) = saturation(activity_of(layer, torch.zeros(3, 5, 1)).gates())
    assert layer_use == (pytest.approx((0.5 + 0.75) / 4), "part/0/forward, most candidate")


def test_saturation_leaves_padding_out():
    layer = zeroed(nn.RNN(1, 2, batch_first=True))
    with torch.no_grad():
        layer.weight_ih_l0[:] = 1.0
    values = torch.tensor([[[5.0], [0.0]], [[0.0], [5.0]]])  # the last step lies beyond its sequence
    (use,) = activity_of(layer, values, torch.tensor([2, 1])).gates()
    assert (use.low, use.high) == (0.0, pytest.approx(1 / 3))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_dead_units_are_those_that_never_change(nonlinearity):
    torch.manual_seed(0)  # some draws leave another ReLU unit at 0
    layer = nn.RNN(2, 6, batch_first=True, nonlinearity=nonlinearity)
    with torch.no_grad():
        layer.weight_ih_l0[[1, 4]] = layer.weight_hh_l0[[1, 4]] = 0.0
        layer.bias_ih_l0[[1, 4]] = -3.0
    (use,) = activity_of(layer, torch.randn(8, 10, 2)).units()
    assert use.dead == [1, 4]
    assert use.share == pytest.approx(1 / 3)


def test_activity_is_gathered_over_runs():
    layer = zeroed(nn.RNN(1, 2, batch_first=True))
    with torch.no_grad():
        layer.weight_ih_l0[0] = 1.0
    found = Activity("", layer.stack)
    for value in (0.5, -0.5):
        found.see(record(layer.stack, torch.full((1, 3, 1), value), layer.weights()).arrays, None)
    assert [use.dead for use in found.units()] == [[1]]  # unit 0 is constant in each run, and alive over both


def test_saturation_is_counted_over_runs():
    layer = zeroed(nn.RNN(1, 2, batch_first=True))
    with torch.no_grad():
        layer.weight_ih_l0[0] = 1.0
    found = Activity("", layer.stack)
    for value, steps in ((5.0, 3), (5.0, 1), (-5.0, 4)):
        found.see(record(layer.stack, torch.full((1, steps, 1), value), layer.weights()).arrays, None)
    (use,) = found.gates()
    assert (use.low, use.high) == (4 / 16, 4 / 16)


def test_relu_ends_are_not_saturation():
    assert list(activity_of(nn.RNN(1, 2, nonlinearity="relu", batch_first=True), torch.randn(2, 3, 1)).gates()) == []


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_first_bad_state_is_named(direction):
    layer = zeroed(nn.RNN(1, 3, batch_first=True, bidirectional=True, nonlinearity="relu"))
    suffix = "_reverse" if direction == "backward" else ""
    with torch.no_grad():
        layer.get_parameter(f"weight_ih_l0{suffix}")[2] = 100.0
        layer.get_parameter(f"weight_hh_l0{suffix}")[:] = 1.0  # whatever comes after step 4 is bad too
    values = torch.ones(2, 6, 1)
    values[1, 4] = 1e38
    bad = activity_of(layer, values).bad
    assert bad is not None
    assert bad.where == f"candidate of part/0/{direction}/2 at step 4 of sequence 1"
    assert (bad.value, bad.row) == (math.inf, 1)
    assert bad.number > 2


def test_bad_weights_and_inputs_are_named():
    layer = nn.GRU(3, 4)
    assert bad_weights(layer) is None
    with torch.no_grad():
        layer.weight_hh_l0[5, 2] = torch.nan
        layer.bias_hh_l0[1] = torch.inf
    found = bad_weights(layer)
    assert found is not None
    assert (found.number, found.where) == (2, "weight weight_hh_l0[5, 2]")
    values = torch.zeros(2, 4, 3)
    values[1, 3, 2] = torch.nan
    assert bad_inputs(values, torch.tensor([4, 3])) is None  # beyond the end
    found = bad_inputs(values, None, ["a", "b", "c"])
    assert found is not None
    assert found.where == "input at step 3 of sequence 1, feature c"
    assert bad_inputs(torch.zeros(2, 4, dtype=torch.int64), None) is None


def test_spectral_radius_of_known_matrices():
    layer = nn.GRU(1, 2)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # eigenvalues ±i
    with torch.no_grad():
        layer.weight_hh_l0[:] = torch.cat([0.7 * turn, torch.diag(torch.tensor([0.2, -3.0])), torch.ones(2, 2)])
    found = [(r.gate, r.radius) for r in spectral_radii("", layer.stack, layer.weights())]
    assert found == [("reset", pytest.approx(0.7)), ("update", pytest.approx(3.0)), ("candidate", pytest.approx(2.0))]


def test_spectral_radius_goes_through_the_projection():
    layer = nn.LSTM(1, 3, proj_size=2)
    with torch.no_grad():
        layer.weight_hh_l0[:] = 0.0
        layer.weight_hh_l0[0, 0] = 2.0
        layer.weight_hr_l0[:] = 0.0
        layer.weight_hr_l0[0, 0] = 5.0
    assert [r.radius for r in spectral_radii("", layer.stack, layer.weights())] == pytest.approx([10.0, 0, 0, 0])
