"""Fixed points of networks of one and two units, known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from known import linear_layer

from recurra import nn
from recurra.errors import UsageError
from recurra.inspect import fixed_points


def _rnn(matrix, **options):
    layer = torch.nn.RNN(1, len(matrix), batch_first=True, bias=False, **options)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.tensor(matrix))
        layer.weight_ih_l0.fill_(1.0)
    return layer


def test_one_unit_with_two_stable_points_and_an_unstable_one_between():
    # h = tanh(2 h): 0, and ±0.95750 by the table; slope there 2 (1 - h²)
    torch.manual_seed(0)
    found = fixed_points(_rnn([[2.0]]), torch.randn(4, 40, 1), input="zero")
    points = found.to_xarray()
    at = np.sort(points["hidden"].values.ravel())
    np.testing.assert_allclose(at, [-0.957504, 0.0, 0.957504], atol=1e-5)
    for i, h in enumerate(points["hidden"].values.ravel()):
        assert points["eigenvalues"].values[i, 0].real == pytest.approx(2 * (1 - h**2), abs=1e-5)
        assert bool(points["stable"][i]) == (abs(h) > 0.5)
    kinds = sorted(row["kind"] for row in found.rows())
    assert kinds == ["stable", "stable", "unstable"]
    assert found.verdict.startswith(
        "3 fixed points, 2 of them stable; the slowest distance to one halves every 0.39 steps"
    )


def test_a_saddle_of_two_units():
    torch.manual_seed(0)
    found = fixed_points(_rnn([[2.0, 0.0], [0.0, 0.5]]), torch.randn(4, 40, 1), input="zero")
    rows = {row["kind"]: row for row in found.rows()}
    assert set(rows) == {"stable", "saddle"}
    assert rows["saddle"]["directions_that_grow"] == 1
    assert rows["saddle"]["largest_eigenvalue"] == pytest.approx(2, abs=1e-6)
    assert rows["stable"]["half_life"] == pytest.approx(1, abs=1e-6)  # the second unit's own: 0.5 a step


def test_a_constant_input_moves_the_point():
    # a linear recurrence: h = W h + U x is at rest at (1 - W)^-1 U x
    matrix = torch.tensor([[0.5, 0.2], [-0.3, 0.6]], dtype=torch.float64)
    layer, x = linear_layer(matrix), torch.randn(3, 20, 2).double()
    inward = layer.weight_ih_l0.detach()
    for given, constant in (("mean", x.mean((0, 1))), (np.array([1.0, -2.0]), torch.tensor([1.0, -2.0]).double())):
        found = fixed_points(layer, x, input=given)
        true = torch.linalg.solve(torch.eye(2).double() - matrix, inward @ constant)
        np.testing.assert_allclose(found.to_xarray()["hidden"], true[None], atol=1e-8)
        assert found.found == (24, 24)
        radius = float(torch.linalg.eigvals(matrix).abs().max())
        assert found.rows()[0]["half_life"] == pytest.approx(math.log(2) / -math.log(radius))


def test_a_shift_without_rest_has_no_fixed_point():
    layer = nn.RNN(1, 1, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        for name, value in (("weight_hh_l0", 1.0), ("weight_ih_l0", 0.0), ("bias_ih_l0", 1.0), ("bias_hh_l0", 0.0)):
            getattr(layer, name).fill_(value)
    found = fixed_points(layer, torch.randn(1, 20, 1))
    assert found.found == (0, 24)
    assert found.verdict == "none of 24 starts reached a fixed point"
    assert found.rows() == []


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_points_of_an_lstm_stay_where_they_are(direction):
    torch.manual_seed(0)
    layer, x = torch.nn.LSTM(2, 6, 2, batch_first=True, bidirectional=True), torch.randn(3, 20, 2)
    found = fixed_points(layer, x, layer=1, direction=direction, starts=5)
    data = found.to_xarray()
    assert data["cell"].shape == data["hidden"].shape == (1, 6)
    assert data["eigenvalues"].shape == (1, 12)
    alone = torch.nn.LSTM(12, 6, batch_first=True).double()
    suffix = "_l1_reverse" if direction == "backward" else "_l1"
    alone.load_state_dict({k.replace(suffix, "_l0"): v for k, v in layer.state_dict().items() if k.endswith(suffix)})
    state = tuple(torch.tensor(data[name].values)[None] for name in ("hidden", "cell"))
    after = alone(torch.tensor(data["input"].values).expand(1, 50, -1), state)[1]
    np.testing.assert_allclose(after[0][0].detach(), data["hidden"], atol=1e-6)
    assert bool(data["stable"][0])


def test_wrong_arguments_are_named():
    layer, x = torch.nn.RNN(2, 3, batch_first=True), torch.randn(1, 4, 2)
    for wrong, words in (
        ({"layer": 1}, "layer must be between 0 and 0"),
        ({"direction": "backward"}, "direction is 'forward', not 'backward'"),
        ({"part": "encoder"}, "there is no layer 'encoder'"),
        ({"input": "one"}, "input is 'mean', 'zero' or an array"),
        ({"input": [1.0]}, r"input must have shape \(2,\), got \(1,\)"),
        ({"starts": 0}, "starts must be at least 1"),
    ):
        with pytest.raises(UsageError, match=words):
            fixed_points(layer, x, **wrong)
