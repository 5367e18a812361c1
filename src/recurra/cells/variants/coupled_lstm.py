"""The LSTM whose input gate is the complement of its forget gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class CoupledLSTM(Cell):
    """LSTM that writes as much as it forgets: its input gate is 1 - f_t.

    f_t = σ(W_f [x_t, h_{t-1}] + b_f)               forget gate
    g_t = tanh(W_g [x_t, h_{t-1}] + b_g)            candidate
    o_t = σ(W_o [x_t, h_{t-1}] + b_o)               output gate
    c_t = f_t ∘ c_{t-1} + (1 - f_t) ∘ g_t           cell state, always within [-1, 1]
    h_t = o_t ∘ tanh(c_t)                           hidden state

    Greff and others, "LSTM: a search space odyssey", 2017, there "CIFG". It has three quarters of the weights of an
    LSTM.

    Use it to save a quarter of the weights and of the time, or where a bounded cell state is needed.

    Example:
        >>> CoupledLSTM().gates, CoupledLSTM().states
        (('forget', 'candidate', 'output'), ('hidden', 'cell'))
    """

    name = "coupled_lstm"
    gates = ("forget", "candidate", "output")
    states = ("hidden", "cell")
    keeps = "forget"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        h, c = state
        f, g, o = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(3, dim=-1)
        f, g, o = alter("forget", f.sigmoid()), alter("candidate", g.tanh()), alter("output", o.sigmoid())
        c = f * c + (1 - f) * g
        return Step((o * c.tanh(), c), (f, g, o))
