"""Step sessions of compiled cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells import State
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import materialize

from .cell import CompiledCell
from .layer_run import NO_MASKS


class _Layer:
    """One layer: its packed weights, its output, and two sets of states, of which each step reads one."""

    def __init__(self, cell: CompiledCell, weights: Sequence[Tensor], batch: int) -> None:
        self.weights = [materialize(w.detach()).clone().contiguous() for w in weights]
        self.program = cell.program(torch.float32, training=False)
        self.pack = self.program.pack([w.data_ptr() for w in self.weights], torch.get_num_threads())
        self.states = [[torch.zeros(batch, size) for size in cell.state_sizes] for _ in range(2)]
        self.current = 0

    def step(self, batch: int, values: Tensor, output: Tensor) -> None:
        before, after = self.states[self.current], self.states[1 - self.current]
        self.program.forward(
            (batch, 1, torch.get_num_threads()),
            False,
            (values.data_ptr(), values.shape[1], 0),
            0,
            [w.data_ptr() for w in self.weights],
            [s.data_ptr() for s in before],
            (output.data_ptr(), output.shape[1], 0),
            [s.data_ptr() for s in after],
            0,
            NO_MASKS,
            self.pack,
        )
        self.current = 1 - self.current


class CompiledSession:
    """Runs a stack in one direction step by step; see `recurra.ops.registry.StepSession`."""

    def __init__(
        self, stack: Stack, cells: tuple[CompiledCell, CompiledCell], weights: Sequence[Tensor], batch: int
    ) -> None:
        groups = stack.split(weights)
        self._layers = [_Layer(cells[i > 0], list(group.values()), batch) for i, group in enumerate(groups)]
        self._shape, self._batch = (batch, stack.input_size), batch

    def step(self, values: Any) -> Tensor | None:
        """Runs one step; None if the values are no contiguous float32 tensor `(batch, features)`."""
        plain = type(values) is Tensor and values.dtype == torch.float32 and values.is_cpu
        if not plain or values.shape != self._shape or not values.is_contiguous() or values.is_neg():
            return None
        for layer in self._layers:
            output = torch.empty(self._batch, layer.states[0][0].shape[1])
            layer.step(self._batch, values, output)
            values = output
        return values

    def reset(self) -> None:
        """Sets all states to zeros."""
        for layer in self._layers:
            for state in layer.states[layer.current]:
                state.zero_()

    def read(self, states: State) -> None:
        """Copies the current states into tensors `(layers, batch, size)`."""
        for i, layer in enumerate(self._layers):
            for mine, to in zip(layer.states[layer.current], states, strict=True):
                to[i].copy_(mine)

    def write(self, states: State) -> None:
        """Replaces the current states."""
        for i, layer in enumerate(self._layers):
            for mine, new in zip(layer.states[layer.current], states, strict=True):
                mine.copy_(new[i])
