"""The plain (Elman) recurrent cell."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .base import Alter, Cell, State, Step, as_is, linear


class RNN(Cell):
    """Plain recurrent cell: the hidden state is the whole memory.

    n_t = φ(W_in x_t + b_in + W_hn h_{t-1} + b_hn)
    h_t = n_t

    with φ = tanh or relu (Elman 1990, "Finding structure in time", in the form that torch.nn.RNN uses).

    Args:
        nonlinearity: `"tanh"` or `"relu"`.
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
        activation = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        n = alter("candidate", activation(linear(x, weights, "ih") + linear(h, weights, "hh")))
        return Step((n,), (n,))
