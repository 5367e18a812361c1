"""Configuration of a call of the native engine: number of the kernel, sizes and options."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from torch import Tensor

from recurra.cells import GRU, LSTM, RNN, Cell
from recurra.ops.stack import Stack

KERNELS: tuple[Cell, ...] = (RNN("tanh"), RNN("relu"), LSTM(), GRU())
"""The cells that the engine has kernels for, in the order of the C++ enumeration."""

_NUMBERS: dict[tuple[type, Any], int] = {
    (type(cell), getattr(cell, "nonlinearity", None)): number for number, cell in enumerate(KERNELS)
}


def kernel_of(cell: Cell) -> int | None:
    """Returns the number of the kernel of a cell; None if there is none."""
    return _NUMBERS.get((type(cell), getattr(cell, "nonlinearity", None)))


class RecurrenceConfig(NamedTuple):
    """Everything that a call takes beside tensors. torch's custom operators take the fields as flat arguments.

    Attributes:
        kernel: index in `KERNELS`.
        hidden_size: units per layer and direction.
        proj_size: size of the projected hidden state (LSTM), 0 for none.
        num_layers: layers on top of each other.
        bidirectional: whether every layer also runs from the end to the beginning.
        bias: whether the cells have biases.
        batch_first: whether values and output are `(batch, time, features)`.
        dropout: probability of dropping an output between layers; 0 outside training.
        chunk: steps that are stored at a time for the backward pass, 0 for all.
        bf16: whether the factors of matrix products are rounded to bfloat16.
    """

    kernel: int
    hidden_size: int
    proj_size: int
    num_layers: int
    bidirectional: bool
    bias: bool
    batch_first: bool
    dropout: float
    chunk: int
    bf16: bool

    @property
    def has_cell_state(self) -> bool:
        """Returns whether the cell has a second state, as an LSTM has."""
        return len(KERNELS[self.kernel].states) == 2

    def stack(self, input_size: int) -> Stack:
        """Returns the stack of layers for an input of this size."""
        return _stack(input_size, *self[:6])

    def batch_and_steps(self, values: Tensor) -> tuple[int, int]:
        """Returns the number of sequences and of steps of the values."""
        first, second = values.shape[:2]
        return (first, second) if self.batch_first else (second, first)

    def new_results(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns uninitialized tensors for the output, the last hidden states and an LSTM's last cell states."""
        batch, steps = self.batch_and_steps(values)
        # the shapes do not depend on the input's size, which may be a symbol
        output, *states = self.stack(1).result_shapes(batch, steps, batch_first=self.batch_first)
        h, *c = map(values.new_empty, states)
        return values.new_empty(output), h, c[0] if c else None


@lru_cache(maxsize=256)
def _stack(input_size: int, kernel: int, hidden: int, projected: int, layers: int, both: bool, bias: bool) -> Stack:
    return Stack(KERNELS[kernel], input_size, hidden, layers, both, bias, projected)
