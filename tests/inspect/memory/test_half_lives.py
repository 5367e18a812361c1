"""Half-lives by the gate and by a perturbation: they are known where the gate is fixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from known import HALF_LIFE, MGU, keeping, linear_layer

import recurra
from recurra import nn
from recurra.errors import UsageError
from recurra.inspect import half_lives, impulse_response
from recurra.inspect.memory.impulse import half_life

TWO = {"num_layers": 2, "bidirectional": True}


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("options", [{}, TWO], ids=["one", "two layers, both directions"])
def test_a_gate_fixed_at_nine_tenths_from_the_gate_and_from_a_perturbation(kind, options):
    torch.manual_seed(0)
    layer, x = keeping(0.9, kind, **options), torch.randn(3, 40, 3)
    by_gate, perturbed = half_lives(layer, x), impulse_response(layer, x)
    assert pytest.approx(6.579, abs=5e-4) == HALF_LIFE
    np.testing.assert_allclose(by_gate.half_life, HALF_LIFE, rtol=1e-5)
    np.testing.assert_allclose(perturbed.half_life, HALF_LIFE, rtol=1e-5)
    assert by_gate.half_life.dims == perturbed.half_life.dims == ("layer", "direction", "unit")
    response = perturbed.to_xarray()["response"][0, 0]
    np.testing.assert_allclose(response[:, 0], 0.9 ** np.arange(len(response)), rtol=1e-5)
    assert "the median unit keeps half for 6.6 steps" in by_gate.verdict


def test_the_half_life_of_a_linear_recurrence_is_that_of_its_radius():
    layer = linear_layer(torch.diag(torch.tensor([0.9, 0.5, -0.8])).double())
    perturbed = impulse_response(layer, torch.randn(2, 60, 2).double())
    np.testing.assert_allclose(perturbed.half_life[0, 0], np.log(2) / -np.log([0.9, 0.5, 0.8]), rtol=1e-6)
    units = [row["unit"] for row in perturbed.rows()]
    assert units == ["layer/0/forward/0", "layer/0/forward/2", "layer/0/forward/1"]


def test_a_tanh_rnn_in_its_small_signal_limit():
    layer = torch.nn.RNN(2, 2, batch_first=True, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(0.7 * torch.eye(2))
    perturbed = impulse_response(layer, torch.zeros(1, 30, 2), size=1e-5)
    np.testing.assert_allclose(perturbed.half_life, math.log(2) / -math.log(0.7), rtol=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_the_geometric_mean_leaves_out_what_is_beyond_the_end(kind):
    torch.manual_seed(0)
    layer, x = kind(2, 3, batch_first=True, bidirectional=True), torch.randn(3, 9, 2)
    found = half_lives(layer, x, lengths=[9, 0, 4]).to_xarray()
    gate = recurra.trace(layer, x, lengths=[9, 0, 4])[layer.stack.cell.keeps]
    mean = np.exp(np.log(gate).mean(("batch", "time")))  # leaves out what is not a number
    np.testing.assert_allclose(found["kept"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["half_life"], math.log(2) / -np.log(mean), rtol=1e-4)


def test_a_gate_that_is_wide_open_never_halves():
    layer = keeping(0.9)
    with torch.no_grad():
        layer.bias_ih_l0[4:8] = 40.0
    assert half_lives(layer, torch.randn(1, 5, 3)).half_life.values.tolist() == [[[math.inf] * 4]]
    perturbed = impulse_response(layer, torch.randn(1, 5, 3))
    assert perturbed.half_life.values.tolist() == [[[math.inf] * 4]]
    assert "longer than measured" in perturbed.verdict
    assert '"half_life": null' in perturbed.to_json()


def test_a_perturbation_of_the_input_and_of_the_hidden_state():
    torch.manual_seed(0)
    layer, x = keeping(0.9), torch.randn(2, 60, 3)
    # beside the decay of the cell state, the input passes through gates that it moves itself
    by_input = impulse_response(layer, x, into="input", size=1e-6)
    np.testing.assert_allclose(by_input.half_life, HALF_LIFE, rtol=1e-4)
    # no unit sees another one's hidden state, nor its own
    assert (impulse_response(layer, x, into="hidden").half_life == 0).all()


@pytest.mark.parametrize("cell", [MGU(), recurra.cells.LSTM()], ids=["mgu", "lstm"])
def test_a_perturbation_against_the_product_of_jacobians(cell):
    from recurra.inspect.core.direction_runs import jacobians, layer_runs
    from recurra.inspect.core.subject import subject_of

    torch.manual_seed(0)
    layer = nn.Recurrent(cell, 2, 3, bidirectional=True, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 8, 2, dtype=torch.float64)
    found = impulse_response(layer, x, at=2, size=1e-6, lags=4).to_xarray()["response"]
    (run,) = layer_runs(subject_of(layer, x))
    for direction, direction_run in enumerate(run.direction_runs[0]):
        product = torch.eye(3 * len(cell.states), dtype=torch.float64).expand(2, -1, -1)
        for lag in range(1, 5):
            product = jacobians(direction_run, 2 + lag) @ product
            true = product.diagonal(dim1=1, dim2=2)[:, -3:].abs().mean(0)
            np.testing.assert_allclose(found[0, direction, lag], true, rtol=1e-4, atol=1e-9)


def test_the_half_life_lies_between_two_steps():
    assert half_life(np.array([1.0, 0.8, 0.4, 0.9])) == pytest.approx(1 + math.log(0.8 / 0.5) / math.log(2))
    assert half_life(np.array([1.0, 0.0])) == 0
    assert math.isnan(half_life(np.array([np.nan])))


def test_wrong_arguments_are_named():
    layer, x = torch.nn.RNN(2, 3, batch_first=True), torch.randn(1, 4, 2)
    with pytest.raises(UsageError, match="a rnn has no gate that keeps its state; impulse_response measures"):
        half_lives(layer, x)
    for wrong, words in (
        ({"into": "cell"}, "into is one of hidden, input, not 'cell'"),
        ({"size": 0}, "size must be positive"),
        ({"lags": 0}, "lags must be at least 1"),
        ({"at": 3}, "at must be between 0 and 2, got 3"),
    ):
        with pytest.raises(UsageError, match=words):
            impulse_response(layer, x, **wrong)
    with pytest.raises(UsageError, match="no step follows a perturbation"):
        impulse_response(layer, x[:, :1])
