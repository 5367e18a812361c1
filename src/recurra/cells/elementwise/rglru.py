"""The real-gated linear recurrent unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear, softplus

if TYPE_CHECKING:
    from torch import Tensor


class RGLRU(Cell):
    """Real-gated linear recurrent unit: the input sets how fast each unit forgets.

    r_t, ĩ_t, n_t = W x_t + b                        n_t is the candidate
    a_t = σ(Λ)^(8 σ(r_t))                            decay: share of the state that is kept
    i_t = σ(ĩ_t)                                     input gate
    h_t = a_t ∘ h_{t-1} + √(1 - a_t²) ∘ (i_t ∘ n_t)

    De and others, "Griffin: mixing gated linear recurrences with local attention for efficient language models", 2024.
    In the paper the candidate is the input, which a layer before has projected; here the cell projects it. Λ is the
    weight `decay`, one number per unit. At the start, σ(Λ)⁸ is drawn from U(0.9, 0.999).

    Use it for long sequences, in two layers or more: units keep their state for up to a thousand steps at the start.

    Example:
        >>> RGLRU().gates, RGLRU().shapes(2, 3)["decay"]
        (('decay', 'input', 'candidate'), (3,))
    """

    name = "rglru"
    gates = ("decay", "input", "candidate")
    states = ("hidden",)
    keeps = "decay"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        r, i, n = linear(x, weights, "ih").chunk(3, dim=-1)
        a = alter("decay", (-8 * softplus(-weights["decay"]) * r.sigmoid()).exp())
        i, n = alter("input", i.sigmoid()), alter("candidate", n)
        scale = (1 - a * a).clamp(min=1e-12).sqrt()  # a may be 1 in float32, where the root has no gradient
        return Step((a * h + scale * (i * n),), (a, i, n))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return {"decay": "exp", "input": "sigmoid", "candidate": "linear"}[gate]

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (3 * hidden_size, input_size),
            "decay": (hidden_size,),
        }
        return shapes | ({"bias_ih": (3 * hidden_size,)} if bias else {})

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """Λ with σ(Λ)⁸ from U(0.9, 0.999)."""
        import torch

        return torch.empty(shape).uniform_(0.9, 0.999).pow(1 / 8).logit() if name == "decay" else None
