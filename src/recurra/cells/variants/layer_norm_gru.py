"""The GRU with layer normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, layer_norm

if TYPE_CHECKING:
    from torch import Tensor


class LayerNormGRU(Cell):
    """GRU whose sums are normalized over the units of a step.

    r_t, z_t = σ(N(W_x x_t; γ_x, b_x) + N(W_h h_{t-1}; γ_h, b_h))    both gates, normalized together
    n_t = tanh(N(W_xn x_t; γ_xn, b_xn) + r_t ∘ N(W_hn h_{t-1}; γ_hn, b_hn))
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

    N(a; γ, b) subtracts the mean of a, divides by its standard deviation, multiplies by the gain γ and adds b.
    Ba, Kiros and Hinton, "Layer normalization", 2016, supplement. The gates are those of `GRU`: the update gate is the
    share that is kept, in the paper the share that is replaced. At the start, gains are 1 and biases 0.

    Use it if a GRU trains slowly or if its gates saturate.

    Example:
        >>> LayerNormGRU().shapes(2, 3)["gain_hh"], LayerNormGRU().keeps
        ((9,), 'update')
    """

    name = "layer_norm_gru"
    gates = ("reset", "update", "candidate")
    states = ("hidden",)
    keeps = "update"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        rz_x, n_x = _normalized(x, weights, "ih")
        rz_h, n_h = _normalized(h, weights, "hh")
        r, z = (rz_x + rz_h).sigmoid().chunk(2, dim=-1)
        r, z = alter("reset", r), alter("update", z)
        n = alter("candidate", (n_x + r * n_h).tanh())
        return Step(((1 - z) * n + z * h,), (r, z, n))

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes = super().shapes(input_size, hidden_size, bias=bias, proj_size=proj_size)
        return shapes | {"gain_ih": (3 * hidden_size,), "gain_hh": (3 * hidden_size,)}

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """Gains of 1, biases of 0."""
        import torch

        if name.startswith("gain"):
            return torch.ones(shape)
        return torch.zeros(shape) if name.startswith("bias") else None


def _normalized(x: Tensor, weights: Mapping[str, Tensor], side: str) -> tuple[Tensor, Tensor]:
    """Returns the normalized products of both gates and of the candidate."""
    gain, bias = weights[f"gain_{side}"], weights.get(f"bias_{side}")
    hidden = gain.shape[0] // 3
    sizes = [2 * hidden, hidden]
    products, gains = (x @ weights[f"weight_{side}"].T).split(sizes, dim=-1), gain.split(sizes, dim=-1)
    biases = (None, None) if bias is None else bias.split(sizes, dim=-1)
    return layer_norm(products[0], gains[0], biases[0]), layer_norm(products[1], gains[1], biases[1])
