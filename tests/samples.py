"""Arguments of recorded runs, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recurra.cells import State
from recurra.ops import Stack


@dataclass
class Sample:
    """Arguments of `record`, or of `record_some` but for the choice."""

    stack: Stack
    values: Tensor
    weights: list[Tensor]
    lengths: Tensor | None
    states: State | None

    def to(self, dtype: torch.dtype) -> Sample:
        states = None if self.states is None else tuple(s.to(dtype) for s in self.states)
        return replace(self, values=self.values.to(dtype), weights=[w.to(dtype) for w in self.weights], states=states)

    @property
    def arguments(self) -> tuple:
        return self.stack, self.values, self.weights, self.lengths, self.states


def draw(stack: Stack, batch=4, steps=9, lengths=None, initial=False, seed=0, dtype=torch.float64) -> Sample:
    """Weights as torch draws them: from U(-1/√hidden, 1/√hidden). What lies beyond a length is NaN."""
    random = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=dtype)

    bound = stack.hidden_size**-0.5
    weights = [(2 * torch.rand(shape, generator=random, dtype=dtype) - 1) * bound for _, shape in stack.named_shapes()]
    values = numbers(batch, steps, stack.input_size)
    if lengths is not None:
        lengths = torch.tensor(lengths)
        values[torch.arange(steps) >= lengths[:, None]] = torch.nan
    rows = stack.num_layers * stack.directions
    states = tuple(numbers(rows, batch, size) for size in stack.state_sizes) if initial else None
    return Sample(stack, values, weights, lengths, states)
