"""Arguments of recorded runs, drawn from a seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from recurra.cells import State
from recurra.nn import RecurrentSpec
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


def with_spec(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a task's network: those of its recurrent layers as one `RecurrentSpec`."""
    names = {field.name for field in dataclasses.fields(RecurrentSpec)}
    own = {name: value for name, value in options.items() if name in names}
    return {**{k: v for k, v in options.items() if k not in own}, "recurrent": RecurrentSpec(**own)}
