"""Description of a call: everything that an engine reads to decide whether it serves the call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recurra.cells import State

from .stack import Stack

MEMORIES = ("full", "recompute")
"""What is stored for the backward pass: everything, or the states of √T steps."""

PRECISIONS = ("float32", "bfloat16")
"""To what the factors of matrix products may be rounded in training; sums and states keep their type."""


@dataclass(frozen=True)
class CallSpec:
    """One call of `recurra.ops.recurrence`, without its data.

    Attributes:
        stack: what is computed.
        device: where the values lie.
        dtype: number type of the values and weights.
        mixed: whether autocast is on.
        steps: padded length of the batch.
        batch: number of sequences.
        ragged: whether `lengths` were given.
        needs_grad: whether a backward pass may follow.
        batch_first: whether values are `(batch, time, features)`.
        dropout: probability of dropping an output between layers.
        training: whether dropout is on.
        chunk: steps that are stored at a time for the backward pass, 0 for all.
        precision: one of `PRECISIONS`.
    """

    stack: Stack
    device: torch.device
    dtype: torch.dtype
    mixed: bool
    steps: int
    batch: int
    ragged: bool
    needs_grad: bool
    batch_first: bool
    dropout: float
    training: bool
    chunk: int = 0
    precision: str = "float32"

    def zeros(self, like: Tensor) -> State:
        """Initial states of zeros, of the device and type of `like`."""
        return tuple(like.new_zeros(shape) for shape in self.stack.state_shapes(self.batch))
