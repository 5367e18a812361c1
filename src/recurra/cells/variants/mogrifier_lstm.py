"""The LSTM whose input and state change each other before the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class MogrifierLSTM(Cell):
    """LSTM whose input and hidden state scale each other in turns before each step.

    x¹ = x_t, h⁰ = h_{t-1}, and for k = 1 … rounds:
    x ← 2 σ(M_k h) ∘ x   for odd k
    h ← 2 σ(M_k x) ∘ h   for even k

    Then the step of `LSTM` with x and h instead of x_t and h_{t-1}; the gates are its gates. M_k is the weight
    `mogrifier_k`. Melis, Kočiský and Blunsom, "Mogrifier LSTM", 2020, with matrices of full rank.

    Use it for language models, where the meaning of a token depends on its context. Each round costs a matrix product.

    Args:
        rounds: number of rounds, at least 1.

    Example:
        >>> cell = MogrifierLSTM(rounds=2)
        >>> cell.shapes(2, 3)["mogrifier_1"], cell.shapes(2, 3)["mogrifier_2"]
        ((2, 3), (3, 2))
    """

    name = "mogrifier_lstm"
    gates = ("input", "forget", "candidate", "output")
    states = ("hidden", "cell")
    keeps = "forget"

    def __init__(self, rounds: int = 5) -> None:
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds}")
        self.rounds = rounds

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        h, c = state
        for k in range(1, self.rounds + 1):
            matrix = weights[f"mogrifier_{k}"].T
            if k % 2:
                x = 2 * (h @ matrix).sigmoid() * x
            else:
                h = 2 * (x @ matrix).sigmoid() * h
        i, f, g, o = (linear(x, weights, "ih") + linear(h, weights, "hh")).chunk(4, dim=-1)
        i, f = alter("input", i.sigmoid()), alter("forget", f.sigmoid())
        g, o = alter("candidate", g.tanh()), alter("output", o.sigmoid())
        c = f * c + i * g
        return Step((o * c.tanh(), c), (i, f, g, o))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes = super().shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
        sizes = {0: (hidden_size, input_size), 1: (input_size, hidden_size)}
        return shapes | {f"mogrifier_{k}": sizes[k % 2] for k in range(1, self.rounds + 1)}
