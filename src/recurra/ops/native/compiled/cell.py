"""The compiled cells of a stack: traced once, with a program for inference and one for training."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from recurra.ops.native import bindings
from recurra.ops.stack import Stack

from .adjoint import differentiate
from .lower import lower
from .symbols import CompileError
from .trace import Traced, trace


class CompiledCell:
    """A traced cell for one size of the input.

    Attributes:
        state_sizes: size of each state.
    """

    def __init__(self, traced: Traced) -> None:
        self.state_sizes = traced.state_sizes
        self._traced = traced
        self._programs: dict[tuple[torch.dtype, bool], Any] = {}

    def program(self, dtype: torch.dtype, *, training: bool) -> Any:
        """Returns the C++ object. It is built when it is first needed."""
        key = dtype, training
        if key not in self._programs:
            made = lower(self._traced, differentiate(self._traced) if training else None)
            tables = made.places, made.forward, made.backward, made.stages, made.products, made.params
            self._programs[key] = bindings.numbers_of(dtype).CompiledCell(
                *tables, made.constants, made.states, made.input, made.weights
            )
        return self._programs[key]


_MOST = 64
_known: OrderedDict[Any, tuple[CompiledCell, CompiledCell] | str] = OrderedDict()


def cells_of(stack: Stack) -> tuple[CompiledCell, CompiledCell] | str:
    """Returns the compiled cells of the first and of the other layers, or the reason why there are none."""
    # the representation of a cell has its attributes, which may change between calls
    layers = stack.num_layers > 1
    key = (type(stack.cell), repr(stack.cell), stack.input_size, stack.hidden_size, layers)
    key += (stack.directions, stack.bias, stack.proj_size)
    found = _known.get(key)
    if found is None:
        found = _known[key] = _compile(stack)
        if len(_known) > _MOST:
            _known.popitem(last=False)
    return found


def _compile(stack: Stack) -> tuple[CompiledCell, CompiledCell] | str:
    def for_input(size: int) -> CompiledCell:
        traced = trace(stack.cell, size, stack.hidden_size, bias=stack.bias, proj_size=stack.proj_size)
        return CompiledCell(traced)

    try:
        first = for_input(stack.input_size)
        same = stack.num_layers == 1 or stack.output_size == stack.input_size
        return first, first if same else for_input(stack.output_size)
    except CompileError as error:
        return f"the cell {stack.cell.name!r} cannot be compiled: {error}"
