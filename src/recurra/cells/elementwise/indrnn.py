"""The plain cell whose units do not see each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recurra.cells.base import Alter, Cell, State, Step, as_is, linear

if TYPE_CHECKING:
    from torch import Tensor


class IndRNN(Cell):
    """Plain cell whose units are independent: each sees the input and its own past.

    n_t = relu(W x_t + clamp(u, -1, 1) ∘ h_{t-1} + b)
    h_t = n_t

    Li and others, "Independently recurrent neural network (IndRNN)", 2018. u is the weight `recurrent`, one number per
    unit. A unit keeps the share u of its state, so at the start u is drawn from U(0, 1). Above 1 the state would grow
    with every step. The paper limits u in training to 2^(1/T) for T steps; sequences of any length need the limit 1.

    Use it in deep stacks: the layer above lets the units of a layer see each other.

    Example:
        >>> IndRNN().shapes(2, 3)
        {'weight_ih': (3, 2), 'recurrent': (3,), 'bias_ih': (3,)}
    """

    name = "indrnn"
    gates = ("candidate",)
    states = ("hidden",)

    def step(self, x: Tensor, state: State, weights: Mapping[str, Tensor], alter: Alter = as_is) -> Step:
        """One time step; see the class for the equations."""
        (h,) = state
        n = alter("candidate", (linear(x, weights, "ih") + weights["recurrent"].clamp(-1, 1) * h).relu())
        return Step((n,), (n,))

    def activation(self, gate: str) -> str:
        """See `Cell.activation`."""
        return "relu"

    def shapes(
        self, input_size: int, hidden_size: int, *, bias: bool = True, proj_size: int = 0
    ) -> dict[str, tuple[int, ...]]:
        """See `Cell.shapes`."""
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (hidden_size, input_size), "recurrent": (hidden_size,)}
        return shapes | ({"bias_ih": (hidden_size,)} if bias else {})

    def initial(self, name: str, shape: tuple[int, ...]) -> Tensor | None:
        """U(0, 1) for the recurrent weights."""
        import torch

        return torch.rand(shape) if name == "recurrent" else None
