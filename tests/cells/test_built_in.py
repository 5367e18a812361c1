"""Properties of every built-in cell that torch does not have: gradients, chunks, lengths, initial values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recurra
from recurra import nn
from recurra.cells import SLSTM, registry
from recurra.training.health.statistics import spectral_radii
from samples import draw

CELLS = [entry.cell for entry in registry.known().values() if not entry.torch_class]
CELLS.append(SLSTM(heads=2))
every_cell = pytest.mark.parametrize("cell", CELLS, ids=repr)


def sample(cell, layers=2, bidirectional=False, bias=True):
    drawn = draw(recurra.ops.Stack(cell, 3, 4, layers, bidirectional, bias), 3, 7, initial=True, dtype=torch.float64)
    return drawn.stack, drawn.values, [*drawn.weights], [*drawn.states]


@every_cell
def test_gradients_are_those_of_finite_differences(cell):
    stack, values, weights, _ = sample(cell, bidirectional=True, bias=True)
    values, count = values[:2, :3], len(weights)

    def run(x, *rest):
        output, last = recurra.ops.recurrence(stack, x, rest[:count], [3, 1], None, batch_first=True)
        return output, *last

    inputs = [t.detach().requires_grad_() for t in (values, *weights)]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@every_cell
def test_chunks_with_carried_states_equal_one_call(cell):
    stack, values, weights, states = sample(cell)
    whole, last = recurra.ops.recurrence(stack, values, weights, None, states, batch_first=True)
    parts = []
    for t in range(7):
        output, states = recurra.ops.recurrence(stack, values[:, t : t + 1], weights, None, states, batch_first=True)
        parts.append(output)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(states, last, rtol=0, atol=1e-12)


@every_cell
def test_sequences_of_a_ragged_batch_equal_those_alone(cell):
    stack, values, weights, states = sample(cell, bidirectional=True, bias=False)
    output, last = recurra.ops.recurrence(stack, values, weights, [7, 0, 4], states, batch_first=True)
    assert not output[1].any()
    assert all(torch.equal(end[:, 1], begin[:, 1]) for end, begin in zip(last, states, strict=True))
    for row, length in ((0, 7), (2, 4)):
        of_row = tuple(state[:, row : row + 1] for state in states)
        alone, end = recurra.ops.recurrence(
            stack, values[row : row + 1, :length], weights, None, of_row, batch_first=True
        )
        torch.testing.assert_close(output[row, :length], alone[0])
        assert not output[row, length:].any()
        torch.testing.assert_close(tuple(s[:, row : row + 1] for s in last), end)


@every_cell
def test_a_layer_begins_with_finite_outputs_and_keeps_what_the_cell_says(cell):
    layer = nn.Recurrent(cell, 3, 8, num_layers=2, bidirectional=True, batch_first=True)
    own = {name: p.clone() for name, p in layer.named_parameters() if layer.stack.initial(name) is not None}
    nn.init_recurrent_(layer)
    for name, before in own.items():
        assert torch.equal(layer.get_parameter(name), before), name
    output, _ = layer(100 * torch.randn(2, 50, 3))
    assert torch.isfinite(output).all()
    output.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)
    for radius in spectral_radii("", layer.stack, layer.weights()):
        assert radius.radius == pytest.approx(1, abs=1e-5)  # orthogonal
    assert not cell.keeps or cell.keeps in cell.gates


def initial(name, weight, size=1000):
    return nn.Recurrent(registry.find(name), 3, size).get_parameter(f"{weight}_l0").detach()


def test_initial_values_are_those_of_the_papers():
    assert initial("layer_norm_lstm", "gain_cell").eq(1).all()
    assert initial("layer_norm_lstm", "bias_hh").view(4, -1).mean(1).tolist() == [0, 1, 0, 0]
    assert initial("layer_norm_gru", "gain_ih").eq(1).all()
    assert not initial("layer_norm_gru", "bias_hh").any()
    assert initial("minlstm", "bias_ih").view(3, -1).mean(1).tolist() == [0, 1, 0]
    forget = initial("slstm", "bias_ih").view(4, -1)[1]
    assert (forget[0], forget[-1]) == (3, 6)
    recurrent = initial("indrnn", "recurrent")
    assert 0 <= recurrent.min() < 0.1
    assert 0.9 < recurrent.max() <= 1
    decay = initial("rglru", "decay").sigmoid() ** 8
    assert decay.min() == pytest.approx(0.9, abs=2e-3)
    assert decay.max() == pytest.approx(0.999, abs=2e-3)


def test_slstm_survives_exponents_that_float32_cannot_hold():
    """The first input gate would be exp(-200), a later one exp(+200)."""
    layer = nn.Recurrent(SLSTM(), 1, 1)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.get_parameter("weight_ih_l0")[:] = torch.tensor([[200.0], [0.0], [1.0], [0.0]])
        output, (_, _, stabilizer, _) = layer(torch.tensor([-1.0, 1.0, 0.5, -1.0]).view(4, 1, 1))
    assert torch.isfinite(output).all()
    # the second step outweighs all others: half of tanh(1) is left of its candidate
    assert output[1:].flatten().tolist() == pytest.approx([0.5 * np.tanh(1)] * 3, rel=1e-5)
    assert stabilizer.item() == pytest.approx(200 - 2 * np.log(2), rel=1e-6)


def test_the_state_of_an_indrnn_does_not_explode():
    layer = nn.Recurrent("indrnn", 1, 3)
    with torch.no_grad():
        layer.get_parameter("bias_ih_l0").fill_(0)
        layer.get_parameter("recurrent_l0")[:] = torch.tensor([5.0, 0.5, -5.0])
        _, (last,) = layer(torch.zeros(1000, 1, 1), torch.ones(1, 1, 3))
    assert last.flatten().tolist() == [1, 0, 0]


def test_an_estimator_with_a_built_in_cell_saves_and_loads(tmp_path):
    texts, labels = ["good day", "bad day"] * 8, ["good", "bad"] * 8
    model = recurra.SequenceClassifier(cell="mgu", hidden_size=8, epochs=1, verbose=0).fit(texts, labels)
    model.save(tmp_path / "m")
    loaded = recurra.load(tmp_path / "m")
    assert loaded.cell == "mgu"
    assert loaded.predict_proba(texts).tolist() == model.predict_proba(texts).tolist()
    assert {"update", "candidate"} <= set(recurra.trace(loaded, texts[:1]).to_xarray().data_vars)
