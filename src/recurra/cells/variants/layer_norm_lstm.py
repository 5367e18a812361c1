"""The LSTM with layer normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, layer_norm

if TYPE_CHECKING:
    from torch import Tensor


class LayerNormLSTM(Cell):
    """LSTM whose sums and cell state are normalized over the units of a step.

    a_t = N(W_x x_t; γ_x, b_x) + N(W_h h_{t-1}; γ_h, b_h)   the sums of all four gates, normalized together
    i_t, f_t, o_t = σ(a_t of the gate), g_t = tanh(a_t of the candidate)
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t                         cell state
    h_t = o_t ∘ tanh(N(c_t; γ_c, b_c))                      hidden state

    N(a; γ, b) subtracts the mean of a, divides by its standard deviation, multiplies by the gain γ and adds b.
    Ba, Kiros and Hinton, "Layer normalization", 2016, equations 20 to 22. The gates are those of `LSTM`. At the start,
    gains are 1 and biases 0, those of the forget gate 1.

    Use it if an LSTM trains slowly or if its gates saturate. It costs three normalizations in each step.

    Example:
        >>> LayerNormLSTM().shapes(2, 3)["gain_hh"], LayerNormLSTM().keeps
        ((12,), 'forget')
    """

    name = "layer_norm_lstm"
    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")
    keeps = "forget"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        h, c = state
        of_x = layer_norm(x @ weights["weight_ih"].T, weights["gain_ih"], weights.get("bias_ih"))
        of_h = layer_norm(h @ weights["weight_hh"].T, weights["gain_hh"], weights.get("bias_hh"))
        i, f, g, o = (of_x + of_h).chunk(4, dim=-1)
        i, f = alter("input", i.sigmoid()), alter("forget", f.sigmoid())
        g, o = alter("candidate", g.tanh()), alter("output", o.sigmoid())
        c = f * c + i * g
        h = o * layer_norm(c, weights["gain_cell"], weights.get("bias_cell")).tanh()
        return Step((h, c), (i, f, g, o))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes = super().shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
        shapes |= {"gain_ih": (4 * hidden_size,), "gain_hh": (4 * hidden_size,), "gain_cell": (hidden_size,)}
        return shapes | ({"bias_cell": (hidden_size,)} if bias else {})

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """Gains of 1, biases of 0, and 1 for the forget gate."""
        import torch

        if name.startswith("gain"):
            return torch.ones(shape)
        if name == "bias_hh":
            zeros = torch.zeros(shape[0] // 4)
            return torch.cat([zeros, zeros + 1, zeros, zeros])
        return torch.zeros(shape) if name.startswith("bias") else None
