"""The minimal GRU, whose gate sees the input only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class MinGRU(Cell):
    """GRU whose gate and candidate see the input only, not the state.

    z_t = σ(W_z x_t + b_z)                    update gate: how much of the past is kept
    n_t = W_n x_t + b_n                       candidate
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

    Feng and others, "Were RNNs all we needed?", 2024. The update gate is the share that is kept, as in `GRU`; in the
    paper it is the share that is replaced. There is no recurrent matrix.

    Use it for long sequences: all products are known before the first step. Stack at least two layers, because the
    gates of one layer do not depend on the past.

    Example:
        >>> MinGRU().shapes(2, 3)
        {'weight_ih': (6, 2), 'bias_ih': (6,)}
    """

    name = "mingru"
    gates = ("update", "candidate")
    states = ("hidden",)
    keeps = "update"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        z, n = linear(x, weights, "ih").chunk(2, dim=-1)
        z, n = alter("update", z.sigmoid()), alter("candidate", n)
        return Step(((1 - z) * n + z * h,), (z, n))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return "linear" if gate == "candidate" else "sigmoid"

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (2 * hidden_size, input_size)}
        return shapes | ({"bias_ih": (2 * hidden_size,)} if bias else {})
