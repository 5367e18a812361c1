"""Measures of recurrent layers against values that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recurra import nn
from recurra.ops import record
from recurra.training.health.statistics import (
    Activity,
    Bad,
    GateUse,
    Radius,
    UnitUse,
    bad_inputs,
    bad_weights,
    place,
    saturation,
    spectral_radii,
)


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


def test_places_have_names():
    assert place("", 2, 0) == "2/forward"
    assert place("a", 0, 1) == "a/0/backward"
    assert place("a", 0, 1, 0) == "a/0/backward/0"
    assert GateUse("a", 1, 1, "input", 0.1, 0.2).where == "a/1/backward input"
    assert UnitUse("a", 1, 0, [3], 4).where == "a/1/forward"
    assert Radius("a", 0, 0, "reset", 1.0, True).where == "a/0/forward reset"
    assert Bad(1, "x", math.nan).row is None


def test_an_open_gate_is_healthy_where_it_remembers():
    shares = [GateUse("", 0, 0, gate, 0.25, 0.5).share for gate in ("forget", "update", "input", "reset", "candidate")]
    assert shares == [0.25, 0.25, 0.75, 0.75, 0.75]


def test_saturation_is_the_mean_of_the_gates_of_each_direction():
    uses = [
        GateUse("a", 0, 0, "input", 0.5, 0.0),
        GateUse("a", 0, 1, "input", 0.25, 0.25),
        GateUse("a", 0, 0, "output", 0.0, 0.25),
    ]
    assert saturation(uses) == [(0.375, "a/0/forward, most input"), (0.5, "a/0/backward, most input")]
    assert saturation([]) == []


@pytest.mark.parametrize(("gate", "low", "high"), [("input", 0.05, 0.95), ("candidate", -0.95, 0.95)])
def test_ends_begin_beyond_their_limits(gate, low, high):
    stack = nn.LSTM(1, 4, batch_first=True).stack
    found = Activity("", stack)
    middle = torch.full((1, 1, 1, 1, 4), 0.5)
    values = torch.tensor([low, high, math.nextafter(low, -2), math.nextafter(high, 2)], dtype=torch.float64)
    arrays = dict.fromkeys((*stack.cell.gates, *stack.cell.states), middle.double())
    found.see({**arrays, gate: values.reshape(1, 1, 1, 1, 4)}, None)
    (use,) = (use for use in found.gates() if use.gate == gate)
    assert (use.low, use.high) == (0.25, 0.25)


@pytest.mark.parametrize(("span", "dead"), [(1e-4, [0]), (1.01e-4, [])])
def test_a_unit_of_a_bounded_cell_is_dead_up_to_a_range(span, dead):
    layer = nn.RNN(1, 2, batch_first=True)
    found = Activity("", layer.stack)
    hidden = torch.tensor([[0.0, 0.0], [span, 0.5]], dtype=torch.float64)[None, None, None]
    found.see(dict.fromkeys((*layer.stack.cell.gates, *layer.stack.cell.states), hidden), None)
    (use,) = found.units()
    assert (use.dead, use.units, use.share) == (dead, 2, len(dead) / 2)


@pytest.mark.parametrize(("scale", "dead"), [(1.0, [0]), (1e3, [0]), (1e-6, [0]), (0.0, [0, 1])])
def test_a_relu_unit_is_dead_by_the_size_of_the_layer(scale, dead):
    layer = nn.RNN(1, 2, nonlinearity="relu", batch_first=True)
    found = Activity("", layer.stack)
    hidden = scale * torch.tensor([[2.0, 3.0], [2.00029, 2.0]], dtype=torch.float64)[None, None, None]
    found.see(dict.fromkeys((*layer.stack.cell.gates, *layer.stack.cell.states), hidden), None)
    assert [use.dead for use in found.units()] == [dead]
    found = Activity("", layer.stack)
    hidden[..., 1, 0] += scale * 2e-5  # now beyond a ten-thousandth of the largest state
    found.see(dict.fromkeys((*layer.stack.cell.gates, *layer.stack.cell.states), hidden), None)
    assert [use.dead for use in found.units()] == [[] if scale else [0, 1]]


def test_without_a_step_nothing_is_said():
    layer = nn.RNN(1, 2, batch_first=True)
    fresh = Activity("", layer.stack)
    assert (list(fresh.gates()), list(fresh.units())) == ([], [])
    empty = activity_of(layer, torch.zeros(2, 3, 1), torch.tensor([0, 0]))
    assert list(empty.units()) == []
    assert [(use.low, use.high) for use in empty.gates()] == [(0.0, 0.0)]
    assert empty.bad is None


def test_a_run_returns_what_the_layer_does():
    layer = nn.GRU(1, 2, batch_first=True)
    values = torch.randn(2, 3, 1)
    output, last = Activity("", layer.stack).run(values, layer.weights(), None, None)
    wanted, state = layer(values)
    assert torch.equal(output, wanted)
    assert torch.equal(last[0], state)


@pytest.mark.parametrize("lengths", [None, [2, 4]])
def test_the_first_bad_number_of_each_direction(lengths):
    stack = nn.GRU(1, 2, 2, bidirectional=True, batch_first=True).stack

    def bad_of(*marks):
        arrays = {name: torch.zeros(2, 2, 2, 4, 2) for name in (*stack.cell.gates, *stack.cell.states)}
        for name, layer, direction, row, time, unit, value in marks:
            arrays[name][layer, direction, row, time, unit] = value
            arrays[stack.cell.states[0]][layer, direction, row, time, unit] = value
        found = Activity("p", stack)
        found.see(arrays, None if lengths is None else torch.tensor(lengths))
        return found.bad

    gates = stack.cell.gates
    late, early = (gates[0], 1, 0, 1, 3, 1, math.inf), (gates[1], 1, 0, 1, 1, 0, math.nan)
    found = bad_of(late, early)
    assert found.where == f"{gates[1]} of p/1/forward/0 at step 1 of sequence 1"
    assert math.isnan(found.value)
    assert (found.row, found.number) == (1, 4)
    backward = bad_of(*[(m[0], 1, 1, *m[3:]) for m in (late, early)])
    assert backward.where == f"{gates[0]} of p/1/backward/1 at step 3 of sequence 1"
    assert backward.value == math.inf
    first_layer = bad_of(late, (gates[2], 0, 1, 0, 1, 1, -math.inf))
    assert first_layer.where == f"{gates[2]} of p/0/backward/1 at step 1 of sequence 0"
    assert first_layer.value == -math.inf
    assert first_layer.number == 2
    beyond = bad_of((gates[0], 0, 0, 0, 3, 0, math.nan))
    assert (beyond is None) == (lengths is not None)


def test_the_first_bad_number_stays():
    layer = zeroed(nn.RNN(1, 1, nonlinearity="relu", batch_first=True))
    with torch.no_grad():
        layer.weight_ih_l0[:] = 1.0
    found = Activity("", layer.stack)
    for at in (2, 0):
        values = torch.zeros(1, 3, 1)
        values[0, at] = math.inf
        found.run(values, layer.weights(), None, None)
    assert found.bad.where.endswith("at step 2 of sequence 0")


def test_bad_inputs_are_counted_up_to_the_length():
    values = torch.zeros(2, 3)
    values[0, 2], values[1, 1], values[1, 2] = math.nan, -math.inf, math.inf
    found = bad_inputs(values, torch.tensor([2, 3]))
    assert found == Bad(2, "input at step 1 of sequence 1", -math.inf, 1)
    assert bad_inputs(values, None).number == 3
    wide = values[:, :, None].repeat(1, 1, 2)
    assert bad_inputs(wide, torch.tensor([2, 2])) == Bad(2, "input at step 1 of sequence 1, feature 0", -math.inf, 1)
    assert bad_inputs(torch.zeros(2, 3), None) is None


def test_spectral_radius_of_a_bad_matrix_is_none():
    layer = nn.LSTM(1, 2, 2, bidirectional=True)
    with torch.no_grad():
        layer.weight_hh_l1[0, 0] = math.inf
    found = list(spectral_radii("p", layer.stack, layer.weights()))
    assert [(r.layer, r.direction) for r in found[::4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [math.isnan(r.radius) for r in found] == [False] * 8 + [True] + [False] * 7
    assert all(r.bounded for r in found)
    relu = nn.RNN(1, 2, nonlinearity="relu")
    assert [r.bounded for r in spectral_radii("", relu.stack, relu.weights())] == [False]
