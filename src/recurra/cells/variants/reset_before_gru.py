"""The GRU whose reset gate acts before the matrix product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class ResetBeforeGRU(Cell):
    """GRU whose reset gate selects units of the state before the matrix product.

    r_t = σ(W_ir x_t + W_hr h_{t-1} + b_r)               reset gate
    z_t = σ(W_iz x_t + W_hz h_{t-1} + b_z)               update gate: how much of the past is kept
    n_t = tanh(W_in x_t + W_hn (r_t ∘ h_{t-1}) + b_n)    candidate
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

    Cho and others, "Learning phrase representations using RNN encoder-decoder", 2014. Keras computes it with
    `reset_after=False`, ONNX with `linear_before_reset=0`. `GRU` multiplies with r_t after the product.

    W_hr and W_hz are `weight_hh`, W_hn is `weight_hh_candidate`.

    Use it for weights from other libraries and for results that must follow the paper. `GRU` is faster, because its
    products do not wait for the reset gate.

    Example:
        >>> ResetBeforeGRU().gates, ResetBeforeGRU().keeps
        (('reset', 'update', 'candidate'), 'update')
    """

    name = "reset_before_gru"
    gates = ("reset", "update", "candidate")
    states = ("hidden",)
    keeps = "update"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        r_x, z_x, n_x = linear(x, weights, "ih").chunk(3, dim=-1)
        r_h, z_h = (h @ weights["weight_hh"].T).chunk(2, dim=-1)
        r, z = alter("reset", (r_x + r_h).sigmoid()), alter("update", (z_x + z_h).sigmoid())
        n = alter("candidate", (n_x + (r * h) @ weights["weight_hh_candidate"].T).tanh())
        return Step(((1 - z) * n + z * h,), (r, z, n))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (3 * hidden_size, input_size),
            "weight_hh": (2 * hidden_size, hidden_size),
            "weight_hh_candidate": (hidden_size, hidden_size),
        }
        return shapes | ({"bias_ih": (3 * hidden_size,)} if bias else {})
