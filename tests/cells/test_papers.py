"""The built-in variants against the formulas of their papers, in numpy and in the letters of the papers.

Each function runs the steps of one sequence. `of` returns a weight by its name, cut into equal parts. The function
yields the hidden state and the gates of each step.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra.cells import SLSTM, MogrifierLSTM, registry
from recurra.ops import Stack, record

HIDDEN, FEATURES, STEPS = 4, 3, 6


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def normal(a, gain, bias):
    """Ba and others 2016, equation 4: the deviation is that of the units, the constant is torch's."""
    return gain * (a - a.mean()) / np.sqrt(a.var() + 1e-5) + bias


def layer_norm_lstm(of, xs):
    """Ba and others 2016, equations 20 to 22."""
    h = c = np.zeros(HIDDEN)
    for x in xs:
        sums = normal(of("weight_hh") @ h, of("gain_hh"), of("bias_hh"))
        i, f, g, o = np.split(sums + normal(of("weight_ih") @ x, of("gain_ih"), of("bias_ih")), 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(normal(c, of("gain_cell"), of("bias_cell")))
        yield h, (sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o))


def layer_norm_gru(of, xs):
    """Ba and others 2016, supplement; there 1 - z is what is kept."""
    h, two = np.zeros(HIDDEN), 2 * HIDDEN
    for x in xs:
        gates = normal((of("weight_hh") @ h)[:two], of("gain_hh")[:two], of("bias_hh")[:two])
        gates = gates + normal((of("weight_ih") @ x)[:two], of("gain_ih")[:two], of("bias_ih")[:two])
        r, z = sigmoid(gates[:HIDDEN]), 1 - sigmoid(gates[HIDDEN:])
        past = normal((of("weight_hh") @ h)[two:], of("gain_hh")[two:], of("bias_hh")[two:])
        new = np.tanh(normal((of("weight_ih") @ x)[two:], of("gain_ih")[two:], of("bias_ih")[two:]) + r * past)
        h = (1 - z) * h + z * new
        yield h, (r, 1 - z, new)


def peephole_lstm(of, xs):
    """Gers and others 2002: the output gate sees the new cell state."""
    s = y = np.zeros(HIDDEN)
    p_in, p_forget, p_out = of("peephole", 3)
    for x in xs:
        i, f, g, o = np.split(of("weight_ih") @ x + of("weight_hh") @ y + of("bias_ih") + of("bias_hh"), 4)
        i, f, g = sigmoid(i + p_in * s), sigmoid(f + p_forget * s), np.tanh(g)
        s = s * f + g * i
        o = sigmoid(o + p_out * s)
        y = o * np.tanh(s)
        yield y, (i, f, g, o)


def coupled_lstm(of, xs):
    """Greff and others 2017, CIFG: f = 1 - i."""
    c = y = np.zeros(HIDDEN)
    for x in xs:
        f, z, o = np.split(of("weight_ih") @ x + of("weight_hh") @ y + of("bias_ih") + of("bias_hh"), 3)
        i = 1 - sigmoid(f)
        c = np.tanh(z) * i + c * (1 - i)
        y = np.tanh(c) * sigmoid(o)
        yield y, (1 - i, np.tanh(z), sigmoid(o))


def mogrifier_lstm(of, xs):
    """Melis and others 2020, equations 1 and 2, with five rounds: three of the input, two of the state."""
    h = c = np.zeros(HIDDEN)
    for x in xs:
        x1 = 2 * sigmoid(of("mogrifier_1") @ h) * x
        h2 = 2 * sigmoid(of("mogrifier_2") @ x1) * h
        x3 = 2 * sigmoid(of("mogrifier_3") @ h2) * x1
        h4 = 2 * sigmoid(of("mogrifier_4") @ x3) * h2
        x5 = 2 * sigmoid(of("mogrifier_5") @ h4) * x3
        i, f, j, o = np.split(of("weight_ih") @ x5 + of("weight_hh") @ h4 + of("bias_ih") + of("bias_hh"), 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(j)
        h = sigmoid(o) * np.tanh(c)
        yield h, (sigmoid(i), sigmoid(f), np.tanh(j), sigmoid(o))


def slstm(of, xs, heads=1):
    """Beck and others 2024, equations 8 to 13, without the stabilizer, which is then the greatest weight so far."""
    c = n = h = np.zeros(HIDDEN)
    greatest = np.ones(HIDDEN)
    for x in xs:
        size = HIDDEN // heads
        recurrent = np.zeros((4 * HIDDEN, HIDDEN))
        for row in range(4 * HIDDEN):
            head = row % HIDDEN // size
            recurrent[row, head * size : (head + 1) * size] = of("weight_hh")[row]
        i, f, z, o = np.split(of("weight_ih") @ x + recurrent @ h + of("bias_ih"), 4)
        i, f, before = np.exp(i), sigmoid(f), greatest
        c, n = f * c + i * np.tanh(z), f * n + i
        h = sigmoid(o) * (c / n)
        greatest = np.maximum(f * before, i)
        yield h, (i / greatest, f * before / greatest, np.tanh(z), sigmoid(o))


def slstm_heads(of, xs):
    return slstm(of, xs, heads=2)


def minlstm(of, xs):
    """Feng and others 2024, section 3.2: gates that are divided by their sum."""
    h = np.zeros(HIDDEN)
    for x in xs:
        i, f, new = np.split(of("weight_ih") @ x + of("bias_ih"), 3)
        i, f = sigmoid(i), sigmoid(f)
        i, f = i / (f + i), f / (f + i)
        h = f * h + i * new
        yield h, (i, f, new)


def mingru(of, xs):
    """Feng and others 2024, section 3.1; there 1 - z is what is kept."""
    h = np.zeros(HIDDEN)
    for x in xs:
        z, new = np.split(of("weight_ih") @ x + of("bias_ih"), 2)
        z = sigmoid(-z)
        h = (1 - z) * h + z * new
        yield h, (1 - z, new)


def reset_before_gru(of, xs):
    """Cho and others 2014, equations 5 to 8."""
    h = np.zeros(HIDDEN)
    for x in xs:
        r, z, new = np.split(of("weight_ih") @ x + of("bias_ih"), 3)
        u_r, u_z = of("weight_hh", 2)
        r, z = sigmoid(r + u_r @ h), sigmoid(z + u_z @ h)
        new = np.tanh(new + of("weight_hh_candidate") @ (r * h))
        h = z * h + (1 - z) * new
        yield h, (r, z, new)


def mgu(of, xs):
    """Zhou and others 2016, table 1; there 1 - f is what is kept."""
    h = np.zeros(HIDDEN)
    for x in xs:
        f, new = np.split(of("weight_ih") @ x + of("bias_ih"), 2)
        f = sigmoid(-(f + of("weight_hh") @ h))
        new = np.tanh(of("weight_hh_candidate") @ (f * h) + new)
        h = (1 - f) * h + f * new
        yield h, (1 - f, new)


def indrnn(of, xs):
    """Li and others 2018, equation 2, with recurrent weights of at most 1 (section 3.1, for endless sequences)."""
    h = np.zeros(HIDDEN)
    for x in xs:
        h = np.maximum(of("weight_ih") @ x + np.clip(of("recurrent"), -1, 1) * h + of("bias_ih"), 0)
        yield h, (h,)


def sru(of, xs):
    """Lei and others 2018, equations 1 to 4, with a projected input in the highway connection."""
    c = np.zeros(HIDDEN)
    v_f, v_r = of("recurrent", 2)
    for x in xs:
        new, f, r, projected = np.split(of("weight_ih") @ x + of("bias_ih"), 4)
        f, r = sigmoid(f + v_f * c), sigmoid(r + v_r * c)
        c = f * c + (1 - f) * new
        yield r * c + (1 - r) * projected, (new, f, r)


def rglru(of, xs):
    """De and others 2024, equations 1 to 4, with c = 8 and a projected input."""
    h = np.zeros(HIDDEN)
    for x in xs:
        r, i, projected = np.split(of("weight_ih") @ x + of("bias_ih"), 3)
        a = sigmoid(of("decay")) ** (8 * sigmoid(r))
        h = a * h + np.sqrt(1 - a**2) * (sigmoid(i) * projected)
        yield h, (a, sigmoid(i), projected)


PAPERS = {
    **{name: entry.cell for name, entry in registry.known().items() if not entry.torch_class},
    "slstm_heads": SLSTM(heads=2),
}


@pytest.mark.parametrize("name", PAPERS)
def test_a_layer_computes_the_formulas_of_the_paper(name):
    cell, rng = PAPERS[name], np.random.default_rng(0)
    stack = Stack(cell, FEATURES, HIDDEN)
    weights = {name: rng.normal(size=shape) for name, shape in stack.shapes(0).items()}
    xs = rng.normal(size=(STEPS, FEATURES))

    def of(name, parts=1):
        return weights[name] if parts == 1 else np.split(weights[name], parts)

    tensors = [torch.from_numpy(weight) for weight in weights.values()]
    found = record(stack, torch.from_numpy(xs)[None], tensors)
    for t, (hidden, gates) in enumerate(globals()[name](of, xs)):
        np.testing.assert_allclose(found.output[0, t], hidden, rtol=1e-9, atol=1e-12)
        for gate, expected in zip(cell.gates, gates, strict=True):
            np.testing.assert_allclose(found.arrays[gate][0, 0, 0, t], expected, rtol=1e-9, atol=1e-12, err_msg=gate)


def test_settings_are_checked_by_name():
    with pytest.raises(ValueError, match="heads must be at least 1, got 0"):
        SLSTM(heads=0)
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        MogrifierLSTM(rounds=0)
    with pytest.raises(ValueError, match="a multiple of the 3 heads, got 8"):
        SLSTM(heads=3).shapes(2, 8)
