"""The LSTM whose gates see the cell state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class PeepholeLSTM(Cell):
    """LSTM whose gates also see the cell state, through one weight per unit and gate.

    i_t = σ(W_i [x_t, h_{t-1}] + p_i ∘ c_{t-1} + b_i)   input gate
    f_t = σ(W_f [x_t, h_{t-1}] + p_f ∘ c_{t-1} + b_f)   forget gate
    g_t = tanh(W_g [x_t, h_{t-1}] + b_g)                candidate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t                     cell state
    o_t = σ(W_o [x_t, h_{t-1}] + p_o ∘ c_t + b_o)       output gate
    h_t = o_t ∘ tanh(c_t)                               hidden state

    Gers, Schraudolph and Schmidhuber, "Learning precise timing with LSTM recurrent networks", 2002. The weights are
    those of `LSTM` and `peephole` with p_i, p_f and p_o. The operator LSTM of ONNX computes the same.

    Use it where the number of steps between two events matters, and for models of Kaldi or ONNX that have peepholes.

    Example:
        >>> PeepholeLSTM().shapes(2, 3)["peephole"], PeepholeLSTM().keeps
        ((9,), 'forget')
    """

    name = "peephole_lstm"
    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")
    keeps = "forget"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        h, c = state
        p_i, p_f, p_o = weights["peephole"].chunk(3, dim=-1)
        i, f, g, o = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(4, dim=-1)
        i, f = alter("input", (i + p_i * c).sigmoid()), alter("forget", (f + p_f * c).sigmoid())
        g = alter("candidate", g.tanh())
        c = f * c + i * g
        o = alter("output", (o + p_o * c).sigmoid())
        return Step((o * c.tanh(), c), (i, f, g, o))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes = super().shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
        return shapes | {"peephole": (3 * hidden_size,)}
