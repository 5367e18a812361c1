"""Singular values, spectral radius and Lyapunov exponents: in closed form, and against automatic differentiation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from known import CELLS, keeping, linear_layer

import recurra
from recurra import nn
from recurra.cells import LSTM
from recurra.errors import UsageError
from recurra.inspect import jacobian_spectrum
from recurra.inspect.core.direction_runs import jacobians, layer_runs
from recurra.inspect.core.subject import subject_of
from recurra.inspect.gradients import jacobian

LENGTHS = [5, 1, 0, 4]


def test_a_linear_recurrence_has_the_values_of_its_matrix():
    matrix = torch.tensor([[0.9, 0.5, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, -0.2]], dtype=torch.float64)
    spectrum = jacobian_spectrum(linear_layer(matrix), torch.randn(2, 200, 2).double())
    np.testing.assert_allclose(spectrum.singular_values, torch.linalg.svdvals(matrix).expand(1, 1, 2, 200, 3))
    np.testing.assert_allclose(spectrum.spectral_radius, np.full((1, 1, 2, 200), 0.9))
    np.testing.assert_allclose(spectrum.lyapunov[0, 0], np.log([[0.9, 0.6, 0.2]] * 2), atol=1e-3)
    assert spectrum.verdict.startswith("differences of the state halve every 6.6 steps")


def test_a_rotation_times_rho_is_exact_from_the_first_step():
    turn = 1.1 * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    spectrum = jacobian_spectrum(linear_layer(turn), torch.randn(1, 10, 2).double())
    np.testing.assert_allclose(spectrum.lyapunov[0, 0, 0], [math.log(1.1)] * 2, rtol=1e-12)
    assert "differences of the state double every 7.3 steps" in spectrum.verdict


@pytest.mark.parametrize("kind", [nn.LSTM, torch.nn.GRU])
def test_a_gate_fixed_at_nine_tenths(kind):
    spectrum = jacobian_spectrum(keeping(0.9, kind), torch.zeros(1, 60, 3))
    np.testing.assert_allclose(spectrum.lyapunov[0, 0, 0, :4], [math.log(0.9)] * 4, rtol=1e-4)
    assert float(spectrum.spectral_radius[0, 0, 0, 30]) == pytest.approx(0.9)


def test_a_chaotic_network_has_a_positive_exponent_and_a_quiet_one_has_not():
    # Sompolinsky, Crisanti and Sommers 1988: random tanh networks become chaotic where the gain exceeds 1
    torch.manual_seed(0)
    found = []
    for gain in (0.8, 2.0):
        layer = torch.nn.RNN(1, 128, batch_first=True, bias=False)
        torch.nn.init.normal_(layer.weight_hh_l0, std=gain / 128**0.5)
        start = torch.randn(1, 1, 128)

        class Started(torch.nn.Module):
            def __init__(self, layer, start):
                super().__init__()
                self.layer, self.start = layer, start

            def forward(self, x):
                return self.layer(x, self.start)[0]

        spectrum = jacobian_spectrum(Started(layer, start), torch.zeros(1, 300, 1), exponents=1, time=[-1])
        found.append(float(spectrum.lyapunov.max()))
    assert found[0] < -0.1 < 0.1 < found[1]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: getattr(cell, "nonlinearity", cell.name))
def test_jacobians_against_automatic_differentiation(cell):
    torch.manual_seed(0)
    layer = nn.Recurrent(cell, 2, 3, 2, bidirectional=True, batch_first=True, dtype=torch.float64)
    x = torch.randn(4, 5, 2, dtype=torch.float64)
    (run,) = layer_runs(subject_of(layer, x, lengths=LENGTHS))
    trace = recurra.trace(layer, x, lengths=LENGTHS).to_xarray()
    groups = layer.stack.split([w.detach() for w in layer.weights()])
    names = cell.states
    for number, direction, step in ((0, 0, 2), (0, 1, 2), (1, 1, 0)):
        direction_run = run.direction_runs[number][direction]
        found = jacobians(direction_run, step)
        for b, row in enumerate((0, 1, 3)):
            if step >= LENGTHS[row]:
                continue
            t = LENGTHS[row] - 1 - step if direction else step
            before = t + 1 if direction else t - 1
            if not 0 <= before < LENGTHS[row]:
                continue
            side = ("forward", "backward")[direction]
            there = trace.sel(layer=number, direction=side, batch=row)
            below = trace["hidden"].sel(layer=number - 1, batch=row, time=t).values.ravel() if number else x[row, t]
            state = tuple(torch.tensor(there[name].sel(time=before).values)[None] for name in names)

            def one(*state, below=below, weights=groups[number * 2 + direction]):
                return torch.cat(cell.step(torch.as_tensor(below)[None], state, weights).state, -1)[0]

            true = torch.autograd.functional.jacobian(one, state)
            np.testing.assert_allclose(found[b], torch.cat([j[:, 0] for j in true], 1), rtol=1e-9, atol=1e-12)


def test_ragged_both_directions_and_chosen_steps():
    layer, x = nn.Recurrent(LSTM(), 2, 3, bidirectional=True, batch_first=True), torch.randn(4, 5, 2)
    spectrum = jacobian_spectrum(layer, x, lengths=LENGTHS, time=[0, 3])
    assert spectrum.singular_values.shape == (1, 2, 3, 2, 6)
    assert np.isnan(spectrum.spectral_radius.sel(batch=1, time=3)).all()
    assert np.isfinite(spectrum.spectral_radius.sel(batch=3, time=3)).all()
    assert np.isfinite(spectrum.lyapunov).all()
    alone = jacobian_spectrum(layer, x[3:, :4])
    np.testing.assert_allclose(
        spectrum.singular_values.sel(batch=3, time=3), alone.singular_values.sel(batch=0, time=3), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(spectrum.lyapunov.sel(batch=3), alone.lyapunov.sel(batch=0), rtol=1e-4, atol=1e-5)
    assert [row["direction"] for row in spectrum.rows()] == ["forward", "backward"]


def test_wrong_arguments_and_what_was_sampled(monkeypatch):
    layer, x = torch.nn.RNN(2, 3, batch_first=True), torch.randn(1, 4, 2)
    with pytest.raises(UsageError, match="exponents must be at least 1"):
        jacobian_spectrum(layer, x, exponents=0)
    with pytest.raises(UsageError, match="time must be steps between 0 and 3"):
        jacobian_spectrum(layer, x, time=[4])
    assert jacobian_spectrum(layer, x).sampled == ""
    monkeypatch.setattr(jacobian, "WORK", 30_000)
    large = jacobian_spectrum(layer, torch.randn(30, 120, 2), exponents=1)
    assert large.sampled == "singular values at 5 of 120 steps, 8 of 30 sequences"
    assert large.singular_values.sizes["time"] == 5
    assert large.singular_values["time"].values[-1] == 119


def test_weights_of_half_precision_are_looked_at_in_single():
    torch.manual_seed(0)
    layer = torch.nn.GRU(2, 3, batch_first=True)
    x = torch.randn(2, 9, 2)
    single = jacobian_spectrum(layer, x).spectral_radius
    half = jacobian_spectrum(layer.bfloat16(), x.bfloat16()).spectral_radius
    np.testing.assert_allclose(half, single, atol=0.03)
