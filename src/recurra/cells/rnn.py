"""The plain (Elman) recurrent cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class RNN(Cell):
    """Plain recurrent cell: the hidden state is the whole memory.

    n_t = φ(W_in x_t + b_in + W_hn h_{t-1} + b_hn)
    h_t = n_t

    with φ = tanh or relu (Elman 1990, "Finding structure in time", in the form that torch.nn.RNN uses).

    Args:
        nonlinearity: `"tanh"` or `"relu"`.

    Example:
        >>> RNN("relu"), RNN().gates
        (RNN(nonlinearity='relu'), ('candidate',))
    """

    name = "rnn"
    gates = ("candidate",)
    states = ("hidden",)

    def __init__(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equation."""
        (h,) = state
        total = linear(x, weights, "ih") + linear(h, weights, "hh")
        n = alter("candidate", total.tanh() if self.nonlinearity == "tanh" else total.relu())
        return Step((n,), (n,))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return self.nonlinearity
