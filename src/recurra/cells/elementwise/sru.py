"""The simple recurrent unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class SRU(Cell):
    """Simple recurrent unit: gates see the own unit only, and the input also passes by the cell.

    n_t, f̃_t, r̃_t, p_t = W x_t + b               candidate, two gates, projected input
    f_t = σ(f̃_t + v_f ∘ c_{t-1})                 forget gate
    r_t = σ(r̃_t + v_r ∘ c_{t-1})                 reset gate: share of the cell state in the output
    c_t = f_t ∘ c_{t-1} + (1 - f_t) ∘ n_t        cell state
    h_t = r_t ∘ c_t + (1 - r_t) ∘ p_t            hidden state

    Lei and others, "Simple recurrent units for highly parallelizable recurrence", 2018, without their scaling of the
    input. The paper adds the input itself where it has the size of the hidden state; here it is always projected. v is
    the weight `recurrent`.

    Use it in deep stacks and for long sequences: all matrix products are known before the first step.

    Example:
        >>> SRU().shapes(2, 3)
        {'weight_ih': (12, 2), 'recurrent': (6,), 'bias_ih': (12,)}
    """

    name = "sru"
    gates = ("candidate", "forget", "reset")
    states = ("hidden", "cell")
    keeps = "forget"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        _, c = state
        v_f, v_r = weights["recurrent"].chunk(2, dim=-1)
        n, f, r, passed = linear(x, weights, "ih").chunk(4, dim=-1)
        n, f = alter("candidate", n), alter("forget", (f + v_f * c).sigmoid())
        r = alter("reset", (r + v_r * c).sigmoid())
        c = f * c + (1 - f) * n
        return Step((r * c + (1 - r) * passed, c), (n, f, r))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return "linear" if gate == "candidate" else "sigmoid"

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * hidden_size, input_size),
            "recurrent": (2 * hidden_size,),
        }
        return shapes | ({"bias_ih": (4 * hidden_size,)} if bias else {})
