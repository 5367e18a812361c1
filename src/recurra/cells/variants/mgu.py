"""The minimal gated unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class MGU(Cell):
    """Minimal gated unit: one gate both resets and updates the state.

    z_t = σ(W_iz x_t + W_hz h_{t-1} + b_z)                       update gate: how much of the past is kept
    n_t = tanh(W_in x_t + W_hn ((1 - z_t) ∘ h_{t-1}) + b_n)      candidate
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

    Zhou and others, "Minimal gated unit for recurrent neural networks", 2016. The gate of the paper is f_t = 1 - z_t;
    here the update gate is the share that is kept, as in `GRU`. It has two thirds of the weights of a GRU.

    W_hz is `weight_hh`, W_hn is `weight_hh_candidate`.

    Use it instead of a GRU where the number of weights matters.

    Example:
        >>> MGU().gates, MGU().keeps
        (('update', 'candidate'), 'update')
    """

    name = "mgu"
    gates = ("update", "candidate")
    states = ("hidden",)
    keeps = "update"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        z_x, n_x = linear(x, weights, "ih").chunk(2, dim=-1)
        z = alter("update", (z_x + h @ weights["weight_hh"].T).sigmoid())
        n = alter("candidate", (n_x + ((1 - z) * h) @ weights["weight_hh_candidate"].T).tanh())
        return Step(((1 - z) * n + z * h,), (z, n))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (2 * hidden_size, input_size),
            "weight_hh": (hidden_size, hidden_size),
            "weight_hh_candidate": (hidden_size, hidden_size),
        }
        return shapes | ({"bias_ih": (2 * hidden_size,)} if bias else {})
