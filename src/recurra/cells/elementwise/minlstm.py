"""The minimal LSTM, whose gates see the input only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear, softplus

if TYPE_CHECKING:
    from torch import Tensor


class MinLSTM(Cell):
    """LSTM with one state, whose gates see the input only and have the sum 1.

    ĩ_t, f̃_t, n_t = W x_t + b                  n_t is the candidate
    i_t = σ(ĩ_t) / (σ(ĩ_t) + σ(f̃_t))           input gate
    f_t = σ(f̃_t) / (σ(ĩ_t) + σ(f̃_t))           forget gate
    h_t = f_t ∘ h_{t-1} + i_t ∘ n_t

    Feng and others, "Were RNNs all we needed?", 2024. The quotients are computed as σ(log σ(ĩ_t) - log σ(f̃_t)), which
    needs no division. There is no recurrent matrix. At the start, the biases of the forget gate are 1.

    Use it for long sequences, in two layers or more, like `MinGRU`.

    Example:
        >>> MinLSTM().gates, MinLSTM().states
        (('input', 'forget', 'candidate'), ('hidden',))
    """

    name = "minlstm"
    gates = ("input", "forget", "candidate")
    states = ("hidden",)
    keeps = "forget"

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        i, f, n = linear(x, weights, "ih").chunk(3, dim=-1)
        ratio = softplus(-f) - softplus(-i)  # log σ(ĩ_t) - log σ(f̃_t)
        i, f = alter("input", ratio.sigmoid()), alter("forget", (-ratio).sigmoid())
        n = alter("candidate", n)
        return Step((f * h + i * n,), (i, f, n))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return "linear" if gate == "candidate" else "sigmoid"

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (3 * hidden_size, input_size)}
        return shapes | ({"bias_ih": (3 * hidden_size,)} if bias else {})

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """Biases of 0, and 1 for the forget gate."""
        import torch

        if name != "bias_ih":
            return None
        zeros = torch.zeros(shape[0] // 3)
        return torch.cat([zeros, zeros + 1, zeros])
