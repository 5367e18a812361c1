"""The gradient by lag, against closed forms and against differences."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from recurra.lab.network import ProbeNetwork
from recurra.lab.problems import Adding, Sample
from recurra.lab.reach import lag_grid, reach


def sample(steps: int, batch: int = 3) -> Sample:
    generator = torch.Generator().manual_seed(0)
    return Sample(torch.rand(batch, steps, 2, generator=generator), torch.rand(batch, 1, generator=generator))


def zero(network: ProbeNetwork) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        for weight in network.layer.parameters():
            weight.zero_()
    return {name: weight.detach() for name, weight in network.layer.named_parameters()}


@pytest.mark.parametrize("radius", [0.5, 0.9, 1.0, 1.1])
def test_a_linear_rnn_shrinks_by_its_spectral_radius(radius):
    """Where every relu is open, h_t = ρQ h_{t-1} + …, and the gradient shrinks by ρ a step."""
    network = ProbeNetwork("rnn_relu", 2, 4, 1)
    weights = zero(network)
    weights["weight_ih_l0"].fill_(1.0)
    weights["weight_hh_l0"].copy_(radius * torch.eye(4)[[1, 2, 3, 0]])
    rows = reach(network, Adding(), sample(30))
    assert rows[0]["lag"] == 0
    assert rows[-1]["lag"] == 29
    for row in rows:
        assert row["state"] / rows[0]["state"] == pytest.approx(radius ** row["lag"], rel=1e-4)


def test_a_forget_gate_of_nine_tenths_keeps_nine_tenths_a_step():
    network = ProbeNetwork("lstm", 2, 4, 1)
    weights = zero(network)
    weights["bias_ih_l0"][4:8] = math.log(9)
    rows = reach(network, Adding(), sample(40))
    for before, row in pairwise(rows[1:]):
        assert row["cell"] / before["cell"] == pytest.approx(0.9 ** (row["lag"] - before["lag"]), rel=1e-4)
        assert row["hidden"] == 0
        assert row["state"] == row["cell"]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_it_is_the_derivative(cell):
    torch.manual_seed(0)
    network, data, problem = ProbeNetwork(cell, 2, 3, 1).double(), sample(12, 1), Adding()
    x, target = data.x.double(), data.target.double()
    for row in reach(network, problem, Sample(x, target)):
        if not row["lag"]:
            continue
        with torch.no_grad():
            states = network.layer(x[:, : 12 - row["lag"]])[1]
            states = [s.clone() for s in (states if cell == "lstm" else [states])]
            slopes = []
            for state in states:
                for unit in range(3):
                    losses = []
                    for shift in (1e-5, -2e-5):
                        state[0, 0, unit] += shift
                        scores = network(x[:, 12 - row["lag"] :], 1, tuple(states))
                        losses.append(float(problem.losses(scores, target)))
                    state[0, 0, unit] += 1e-5
                    slopes.append((losses[0] - losses[1]) / 2e-5)
        assert row["state"] == pytest.approx(math.hypot(*slopes), rel=1e-5, abs=1e-9)


def test_the_weights_keep_no_gradient():
    network = ProbeNetwork("gru", 2, 3, 1)
    reach(network, Adding(), sample(10))
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())


def test_lags_are_all_different_and_reach_the_first_step():
    for steps in (1, 2, 3, 10, 500):
        lags = lag_grid(steps)
        assert lags == sorted(set(lags))
        assert (lags[0], lags[-1]) == (0, steps - 1)
    assert len(lag_grid(500)) <= 20
