"""The LSTM with an exponential input gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, block_linear, linear, softplus
from recurra.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


class SLSTM(Cell):
    """LSTM with an exponential input gate, whose cell state is a weighted mean of the candidates.

    ĩ_t, f̃_t, g̃_t, õ_t = W x_t + R h_{t-1} + b            R is block-diagonal: each head sees its own units only
    m_t = max(log σ(f̃_t) + m_{t-1}, ĩ_t)                  stabilizer: greatest exponent so far
    i_t = exp(ĩ_t - m_t)                                  input gate
    f_t = exp(log σ(f̃_t) + m_{t-1} - m_t)                 forget gate
    g_t = tanh(g̃_t), o_t = σ(õ_t)                         candidate, output gate
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t                       cell state
    n_t = f_t ∘ n_{t-1} + i_t                             normalizer: sum of the weights
    h_t = o_t ∘ c_t / n_t                                 hidden state

    Beck and others, "xLSTM: extended long short-term memory", 2024, the sLSTM with σ as forget gate. m_t changes the
    scale of c_t and n_t only, so h_t does not depend on it, and all states begin with 0. The gates of a trace are the
    scaled ones above.

    At the start, the biases of the forget gate rise from 3 to 6 over the units, which then keep their state for 20 to
    400 steps.

    Use it where a late input may outweigh everything before it.

    Args:
        heads: number of blocks of the recurrent matrix. The hidden size must be a multiple of it.

    Example:
        >>> SLSTM().states
        ('hidden', 'normalizer', 'stabilizer', 'cell')
        >>> SLSTM(heads=2).shapes(5, 8)["weight_hh"]
        (32, 4)
    """

    name = "slstm"
    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "normalizer", "stabilizer", "cell")
    keeps = "forget"
    mean_is_state = False  # the stabilizer is the scale of the cell state and the normalizer

    def __init__(self, heads: int = 1) -> None:
        if heads < 1:
            raise ValueError(f"heads must be at least 1, got {heads}")
        self.heads = heads

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        h, n, m, c = state
        sums = linear(x, weights, "ih") + block_linear(h, weights["weight_hh"], self.heads)
        i, f, g, o = sums.chunk(4, dim=-1)
        kept = m - softplus(-f)  # log σ(f̃_t) + m_{t-1}
        m = kept.maximum(i)
        i, f = alter("input", (i - m).exp()), alter("forget", (kept - m).exp())
        g, o = alter("candidate", g.tanh()), alter("output", o.sigmoid())
        c = f * c + i * g
        n = f * n.abs() + i  # a normalizer is positive; initial states of a caller may be anything
        h = o * c / n.clamp(min=1e-30)  # i_1 may be 0 in float32
        return Step((h, n, m, c), (i, f, g, o))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return "exp" if gate in ("input", "forget") else super().activation(gate)

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        if hidden_size % self.heads:
            raise UsageError(f"hidden_size must be a multiple of the {self.heads} heads, got {hidden_size}")
        rows = 4 * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size // self.heads),
        }
        return shapes | ({"bias_ih": (rows,)} if bias else {})

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """Biases of 0, from 3 to 6 for the forget gate."""
        import torch

        if name != "bias_ih":
            return None
        size = shape[0] // 4
        return torch.cat([torch.zeros(size), torch.linspace(3, 6, size), torch.zeros(2 * size)])
