"""Description of a recurrent stack: cell, sizes, layers and directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from recurra.cells import Cell, Mask


@dataclass(frozen=True)
class Stack:
    """Shape of a stack of recurrent layers.

    Attributes:
        cell: the cell of every layer.
        input_size: features of the input.
        hidden_size: units per layer and direction.
        num_layers: layers on top of each other.
        bidirectional: whether every layer also runs from the end to the beginning.
        bias: whether the cells have biases.
        proj_size: size of the projected hidden state (LSTM), 0 for none.

    Example:
        >>> from recurra.cells import LSTM
        >>> stack = Stack(LSTM(), input_size=2, hidden_size=3)
        >>> stack.named_shapes()[:2], stack.state_sizes
        ((('weight_ih_l0', (12, 2)), ('weight_hh_l0', (12, 3))), (3, 3))
    """

    cell: Cell
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    proj_size: int = 0

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def directions(self) -> int:
        """Number of directions: 1, or 2 when bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Size of each state of the cell."""
        return self.cell.state_sizes(self.hidden_size, proj_size=self.proj_size)

    @property
    def masks(self) -> dict[str, Mask]:
        """The masks that a layer in one direction draws in training, by name."""
        return dict(self.cell.masks(self.hidden_size, proj_size=self.proj_size))

    @property
    def inner_sizes(self) -> dict[str, int]:
        """Size of each gate and state by name, in the cell's order."""
        gates = dict.fromkeys(self.cell.gates, self.hidden_size)
        return gates | dict(zip(self.cell.states, self.state_sizes, strict=True))

    @property
    def output_size(self) -> int:
        """Features of the output: the hidden states of both directions side by side."""
        return self.directions * self.state_sizes[0]

    def state_shapes(self, batch: int) -> tuple[tuple[int, int, int], ...]:
        """Shape of each initial or last state: `(layers * directions, batch, size)`."""
        return tuple((self.num_layers * self.directions, batch, size) for size in self.state_sizes)

    def result_shapes(self, batch: int, steps: int, *, batch_first: bool) -> tuple[tuple[int, int, int], ...]:
        """Shapes of the output and of each last state.

        Example:
            >>> from recurra.cells import GRU
            >>> Stack(GRU(), input_size=2, hidden_size=3).result_shapes(4, 5, batch_first=True)
            ((4, 5, 3), (1, 4, 3))
        """
        first, second = (batch, steps) if batch_first else (steps, batch)
        return ((first, second, self.output_size), *self.state_shapes(batch))

    def shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights of one direction of `layer`."""
        size = self.input_size if layer == 0 else self.output_size
        return self.cell.shapes(size, self.hidden_size, bias=self.bias, proj_size=self.proj_size)

    def named_shapes(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """All weights as `(name, shape)`, named and ordered as in torch: `weight_ih_l0_reverse` and so on."""
        return tuple(
            (f"{name}_l{layer}{suffix}", shape)
            for layer in range(self.num_layers)
            for suffix in ("", "_reverse")[: self.directions]
            for name, shape in self.shapes(layer).items()
        )

    def initial(self, name: str) -> Tensor | None:
        """Values of a weight at the start by its name in `named_shapes`; None if the cell has none for it."""
        own = name.rpartition("_l")[0]
        layer = int(name.removesuffix("_reverse")[len(own) + 2 :])
        return self.cell.initial(own, self.shapes(layer)[own])

    def split(self, weights: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Groups flat weights by layer and direction: one mapping per `layer * directions + direction`."""
        names = tuple(self.shapes(0))
        step = len(names)
        starts = [i * step for i in range(self.num_layers * self.directions)]
        return [dict(zip(names, weights[i : i + step], strict=True)) for i in starts]
