"""The long short-term memory cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class LSTM(Cell):
    """Long short-term memory: a cell state that three gates write, keep and read.

    i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate: how much of the candidate is written
    f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate: how much of the cell state is kept
    g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)   candidate
    o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate: how much of the cell state is shown
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t                     cell state
    h_t = o_t ∘ tanh(c_t)                               hidden state, with projection W_hr (o_t ∘ tanh(c_t))

    Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; projection: Sak et al. 2014.
    The order of the gates' rows is torch's.

    Example:
        >>> LSTM().gates, LSTM().states
        (('input', 'forget', 'candidate', 'output'), ('hidden', 'cell'))
    """

    name = "lstm"
    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")
    keeps = "forget"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        h, c = state
        i, f, g, o = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(4, dim=-1)
        i, f = alter("input", i.sigmoid()), alter("forget", f.sigmoid())
        g, o = alter("candidate", g.tanh()), alter("output", o.sigmoid())
        c = f * c + i * g
        h = o * c.tanh()
        if "weight_hr" in weights:
            h = h @ weights["weight_hr"].T
        return Step((h, c), (i, f, g, o))
