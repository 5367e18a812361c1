"""Layers whose memory is known in closed form, and gradients taken the long way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra import nn
from recurra.cells import GRU, LSTM, RNN, Cell, Step, linear

HALF_LIFE = math.log(2) / -math.log(0.9)


class MGU(Cell):
    """A minimal gated unit: a cell that no engine knows."""

    name, gates, states = "mgu", ("forget", "candidate"), ("hidden",)

    def step(self, x, state, weights):
        (h,) = state
        f_x, n_x = linear(x, weights, "ih").chunk(2, -1)
        f_h, n_h = linear(h, weights, "hh").chunk(2, -1)
        f = torch.sigmoid(f_x + f_h)
        n = torch.tanh(n_x + f * n_h)
        return Step(((1 - f) * h + f * n,), (f, n))


class Linear(Cell):
    """A linear recurrence: h' = W_in x + W_hn h."""

    name, gates, states = "linear", ("candidate",), ("hidden",)

    def step(self, x, state, weights):
        h = linear(x, weights, "ih") + linear(state[0], weights, "hh")
        return Step((h,), (h,))


CELLS = (RNN(), RNN("relu"), GRU(), LSTM(), MGU())


def linear_layer(matrix: Tensor) -> nn.Recurrent:
    """A linear recurrence with this recurrent matrix, in double precision."""
    layer = nn.Recurrent(Linear(), 2, len(matrix), bias=False, batch_first=True, dtype=torch.float64)
    layer.weight_hh_l0.data.copy_(matrix)  # type: ignore[union-attr]
    return layer


def keeping(gate: float, kind: Callable[..., Any] = nn.LSTM, **options: Any) -> Any:
    """A layer whose keeping gate always has this value, and whose units do not see each other."""
    layer = kind(3, 4, batch_first=True, **options)
    size, row = 4, 1  # the forget gate of an LSTM and the update gate of a GRU both come second
    for name, weight in layer.named_parameters():
        with torch.no_grad():
            if name.startswith(("weight_hh", "bias")):
                weight.zero_()
            if name.startswith("weight_ih"):
                weight[row * size : (row + 1) * size] = 0
            if name.startswith("bias_ih"):
                weight[row * size : (row + 1) * size] = math.log(gate / (1 - gate))
    return layer


class LongWay:
    """One sequence through a stack, written out step by step, every state a variable of its own."""

    def __init__(self, stack: Any, weights: list[Tensor], x: Tensor) -> None:
        groups = stack.split([w.detach() for w in weights])
        self.states: dict[tuple[int, int, int], tuple[Tensor, ...]] = {}
        steps = len(x)
        for layer in range(stack.num_layers):
            columns = []
            for direction in range(stack.directions):
                state: tuple[Tensor, ...] = tuple(x.new_zeros(1, size) for size in stack.state_sizes)
                column: dict[int, Tensor] = {}
                for t in reversed(range(steps)) if direction else range(steps):
                    new = stack.cell.step(x[t : t + 1], state, groups[layer * stack.directions + direction]).state
                    state = tuple(s.clone() if s.requires_grad else s.clone().requires_grad_() for s in new)
                    self.states[layer, direction, t] = state
                    column[t] = state[0]
                columns.append(torch.cat([column[t] for t in range(steps)]))
            x = torch.cat(columns, -1)
        self.output = x  # (time, features)

    def gradients(self, total: Tensor) -> dict[tuple[int, int, int], Tensor]:
        """Of a number, with respect to all states of each place, side by side."""
        flat = [s for states in self.states.values() for s in states]
        found = iter(torch.autograd.grad(total, flat, retain_graph=True, allow_unused=True, materialize_grads=True))
        return {place: torch.cat([next(found)[0] for _ in states]) for place, states in self.states.items()}
