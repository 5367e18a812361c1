"""A layer without memory, as the baseline that shows what recurrence adds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from recurra.ops import Linear
from recurra.ops import dropout as drop
from recurra.ops.call import check_lengths
from recurra.ops.mask import step_mask


class Memoryless(torch.nn.Module):
    """Passes each step alone through feed-forward layers; called like a batch-first recurrent layer.

    Its "state" is the output of the last step, so that every network that takes a recurrent layer takes this one.

    Args:
        input_size: features of a step.
        hidden_size: units of each layer.
        num_layers: layers on top of each other.
        dropout: probability of dropping a feature between layers, in training.

    Example:
        >>> import torch
        >>> layer = Memoryless(3, 8)
        >>> output, state = layer(torch.zeros(2, 5, 3), lengths=torch.tensor([5, 0]))
        >>> tuple(output.shape), tuple(state.shape)
        ((2, 5, 8), (1, 2, 8))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, *, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [input_size, *[hidden_size] * num_layers]
        self.layers = torch.nn.ModuleList(Linear(*pair) for pair in pairwise(sizes))
        self.hidden_size, self.dropout = hidden_size, dropout

    def forward(self, input: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs `(batch, time, hidden)`, 0 beyond each length, and that of the last step `(1, batch, hidden)`."""
        batch, steps = input.shape[:2]
        output = input
        for i, layer in enumerate(self.layers):
            output = torch.relu(layer(drop(output, self.dropout, training=self.training) if i else output))
        ends = torch.full((batch,), steps) if lengths is None else check_lengths(lengths, batch, steps)
        lengths = ends.to(output.device)
        output = output * step_mask(lengths, steps).unsqueeze(-1)
        if not steps:
            return output, output.new_zeros(1, batch, self.hidden_size)
        last = output[torch.arange(batch, device=output.device), (lengths - 1).clamp(min=0)]
        return output, last.unsqueeze(0)

    def step(self, input: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        """The output `(batch, hidden)` of one step `(batch, features)`; the state given does not matter."""
        output, state = self(input.unsqueeze(1))
        return output[:, 0], state
