"""Description of a call: everything that an engine reads to decide whether it serves the call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from recurra.cells import Mask, State

from .stack import Stack

MEMORIES = ("full", "recompute")
"""Values of `memory`: the backward pass uses all stored gates, or recomputes them from the states of √T steps."""

PRECISIONS = ("float32", "bfloat16")
"""Values of `precision`: the type of the factors of matrix products in training. Sums and states keep their type."""


class Draws(Protocol):
    """Source of random masks. All engines use the same one, so their masks are equal."""

    def mask(self, shape: Sequence[int], dropped: float, like: Tensor) -> Tensor:
        """Returns a mask whose first axis is that of the sequences, with the device and type of `like`."""
        ...

    def seed(self) -> int:
        """Returns the seed of a mask that the engine draws itself."""
        ...

    def first_row(self) -> int:
        """Returns the number of the first sequence of the batch in a larger one."""
        ...


@dataclass(frozen=True)
class CallSpec:
    """One call of `recurra.ops.recurrence`, without its data.

    Attributes:
        stack: cell, sizes, layers and directions.
        device: device of the values.
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
        draws: source of the masks of the cell, `recurra.ops.dropout.Draws`; None for a call without masks.

    Example:
        An engine reads the call to decide whether it serves it:

        >>> import torch
        >>> from recurra import cells, ops
        >>> class Short:
        ...     name = "short"
        ...     def refuses(self, call: ops.CallSpec):
        ...         return None if call.steps < 10 else f"{call.steps} steps are too many"
        >>> stack = ops.Stack(cells.GRU(), 3, 4)
        >>> options = {"mixed": False, "ragged": False, "needs_grad": False, "batch_first": True, "training": False}
        >>> call = ops.CallSpec(stack, torch.device("cpu"), torch.float32, steps=50, batch=2, dropout=0.0, **options)
        >>> Short().refuses(call)
        '50 steps are too many'
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
    draws: Draws | None = None

    @property
    def masks(self) -> dict[str, Mask]:
        """The masks of each layer and direction, by name; none outside of training."""
        return {} if self.draws is None else self.stack.masks

    def zeros(self, like: Tensor) -> State:
        """Returns initial states of zeros, with the device and type of `like`."""
        return tuple(like.new_zeros(shape) for shape in self.stack.state_shapes(self.batch))
