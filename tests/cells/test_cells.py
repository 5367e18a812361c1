"""Each cell's step against its equations, written out gate by gate in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra.cells import GRU, LSTM, RNN, Cell, registry

HIDDEN, FEATURES, BATCH = 3, 2, 4


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def draw(cell, *, bias, proj_size=0):
    """Weights, an input and states."""
    rng = np.random.default_rng(0)
    shapes = cell.shapes(FEATURES, HIDDEN, bias=bias, proj_size=proj_size)
    states = cell.state_sizes(HIDDEN, proj_size=proj_size)
    return (
        {name: rng.normal(size=shape) for name, shape in shapes.items()},
        rng.normal(size=(BATCH, FEATURES)),
        [rng.normal(size=(BATCH, size)) for size in states],
    )


def step(cell, weights, x, states):
    """The cell's step on numpy arrays."""
    named = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    return cell.step(torch.from_numpy(x), tuple(torch.from_numpy(s) for s in states), named)


def affine(weights, side, x, gate):
    """`W x + b` of one gate, whose rows are the block of that number."""
    rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
    bias = weights[f"bias_{side}"][rows] if f"bias_{side}" in weights else 0
    return x @ weights[f"weight_{side}"][rows].T + bias


def check(step, states, gates):
    for actual, expected in zip((*step.state, *step.gates), (*states, *gates), strict=True):
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("nonlinearity", "phi"), [("tanh", np.tanh), ("relu", lambda a: np.where(a > 0, a, 0))])
def test_rnn_step_is_its_equation(nonlinearity, phi, bias):
    cell = RNN(nonlinearity)
    w, x, (h,) = draw(cell, bias=bias)
    n = phi(affine(w, "ih", x, 0) + affine(w, "hh", h, 0))
    check(step(cell, w, x, [h]), [n], [n])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("proj_size", [0, 2])
def test_lstm_step_is_its_equations(proj_size, bias):
    w, x, (h, c) = draw(LSTM(), bias=bias, proj_size=proj_size)
    i, f, g, o = (affine(w, "ih", x, gate) + affine(w, "hh", h, gate) for gate in range(4))
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    new_c = f * c + i * g
    new_h = o * np.tanh(new_c)
    if proj_size:
        new_h = new_h @ w["weight_hr"].T
    check(step(LSTM(), w, x, [h, c]), [new_h, new_c], [i, f, g, o])


@pytest.mark.parametrize("bias", [True, False])
def test_gru_step_is_its_equations(bias):
    w, x, (h,) = draw(GRU(), bias=bias)
    r = sigmoid(affine(w, "ih", x, 0) + affine(w, "hh", h, 0))
    z = sigmoid(affine(w, "ih", x, 1) + affine(w, "hh", h, 1))
    n = np.tanh(affine(w, "ih", x, 2) + r * affine(w, "hh", h, 2))
    check(step(GRU(), w, x, [h]), [(1 - z) * n + z * h], [r, z, n])


def saturate(cell, weights, **gates):
    """Biases so large that the named gates are exactly 1 or 0, whatever the input."""
    for name, value in gates.items():
        gate = cell.gates.index(name)
        weights["bias_ih"][gate * HIDDEN : (gate + 1) * HIDDEN] = 1e3 if value else -1e3


def test_lstm_with_its_forget_gate_open_and_input_gate_shut_keeps_the_cell_state():
    w, x, (h, c) = draw(LSTM(), bias=True)
    saturate(LSTM(), w, forget=1, input=0, output=1)
    new = step(LSTM(), w, x, [h, c])
    np.testing.assert_array_equal(new.state[1].numpy(), c)
    np.testing.assert_allclose(new.state[0].numpy(), np.tanh(c), rtol=1e-15)


def test_lstm_with_its_forget_gate_shut_and_input_gate_open_takes_the_candidate():
    w, x, (h, c) = draw(LSTM(), bias=True)
    saturate(LSTM(), w, forget=0, input=1)
    new = step(LSTM(), w, x, [h, c])
    torch.testing.assert_close(new.state[1], new.gates[2], rtol=0, atol=0)


def test_gru_with_its_update_gate_open_keeps_the_hidden_state():
    w, x, (h,) = draw(GRU(), bias=True)
    saturate(GRU(), w, update=1)
    np.testing.assert_array_equal(step(GRU(), w, x, [h]).state[0].numpy(), h)


def test_gru_with_its_reset_gate_shut_forgets_the_hidden_state_in_its_candidate():
    w, x, (h,) = draw(GRU(), bias=True)
    saturate(GRU(), w, reset=0)
    forgotten = step(GRU(), w, x, [np.zeros_like(h)])
    torch.testing.assert_close(step(GRU(), w, x, [h]).gates[2], forgotten.gates[2], rtol=0, atol=0)


def test_gate_and_state_names_are_the_documented_ones():
    assert (RNN.gates, RNN.states) == (("candidate",), ("hidden",))
    assert (LSTM.gates, LSTM.states) == (("input", "forget", "candidate", "output"), ("hidden", "cell"))
    assert (GRU.gates, GRU.states) == (("reset", "update", "candidate"), ("hidden",))


def test_an_unknown_nonlinearity_is_refused_by_name():
    with pytest.raises(ValueError, match="'tanh' or 'relu', not 'gelu'"):
        RNN("gelu")


def test_a_cell_without_a_step_cannot_be_made():
    with pytest.raises(TypeError, match="step"):
        type("Nothing", (Cell,), {})()


def test_the_nonlinearity_is_compared_by_value():
    """A name that is read from a file is another string object than the one in the code."""
    weights = {name: torch.full(shape, 3.0) for name, shape in {"weight_ih": (2, 2), "weight_hh": (2, 2)}.items()}
    x, state = torch.full((1, 2), 3.0), (torch.zeros(1, 2),)
    names = ("tanh", "".join(["ta", "nh"]))
    expected, found = (RNN(nonlinearity=name).step(x, state, weights).state[0] for name in names)
    assert torch.equal(found, expected)
    assert found.max() <= 1


def test_weights_have_biases_and_no_projection_unless_otherwise_said():
    assert GRU().shapes(2, 3) == {"weight_ih": (9, 2), "weight_hh": (9, 3), "bias_ih": (9,), "bias_hh": (9,)}
    assert LSTM().shapes(2, 3, bias=False, proj_size=1) == {
        "weight_ih": (12, 2), "weight_hh": (12, 1), "weight_hr": (1, 3),
    }  # fmt: skip
    assert [cell.state_sizes(3) for cell in (RNN(), GRU(), LSTM())] == [(3,), (3,), (3, 3)]
    assert LSTM().state_sizes(3, proj_size=2) == (2, 3)


def test_every_gate_may_be_altered_as_soon_as_it_is_known():
    for cell in (entry.cell for entry in registry.known().values()):
        weights, x, states = draw(cell, bias=True)
        named = {name: torch.from_numpy(weight) for name, weight in weights.items()}
        given = []

        def alter(name, gate, given=given):
            given.append((name, gate))
            return gate * 2

        found = cell.step(torch.from_numpy(x), tuple(map(torch.from_numpy, states)), named, alter)
        assert [name for name, _ in given] == list(cell.gates)
        assert all(torch.equal(gate, 2 * before) for gate, (_, before) in zip(found.gates, given, strict=True))
