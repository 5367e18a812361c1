"""The gated recurrent unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class GRU(Cell):
    """Gated recurrent unit: one state, which the update gate keeps or replaces.

    r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)             reset gate: how much past the candidate sees
    z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)             update gate: how much of the past is kept
    n_t = tanh(W_in x_t + b_in + r_t ∘ (W_hn h_{t-1} + b_hn))  candidate
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

    Cho et al. 2014 in the form that torch and cuDNN use: the reset gate acts after the matrix product.

    Example:
        >>> GRU().gates, GRU().states
        (('reset', 'update', 'candidate'), ('hidden',))
    """

    name = "gru"
    gates = ("reset", "update", "candidate")
    states = ("hidden",)
    keeps = "update"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        r_x, z_x, n_x = linear(x, weights, "ih").chunk(3, dim=-1)
        r_h, z_h, n_h = linear(h, weights, "hh").chunk(3, dim=-1)
        r, z = alter("reset", (r_x + r_h).sigmoid()), alter("update", (z_x + z_h).sigmoid())
        n = alter("candidate", (n_x + r * n_h).tanh())
        return Step(((1 - z) * n + z * h,), (r, z, n))
