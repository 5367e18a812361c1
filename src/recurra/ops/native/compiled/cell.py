"""The compiled cells of a stack: traced once, with a program for inference and one for training."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch

from recurra.cells import Mask
from recurra.ops.native import bindings
from recurra.ops.stack import Stack

from .adjoint import differentiate
from .lower import lower
from .symbols import CompileError
from .trace import Traced, trace


class CompiledCell:
    """A traced cell for one size of the input.

    Args:
        name: name of the cell.
        traced: its graph.

    Attributes:
        state_sizes: size of each state.
    """

    def __init__(self, name: str, traced: Traced) -> None:
        self.state_sizes = traced.state_sizes
        self._traced = traced
        self._programs: dict[tuple[torch.dtype, bool], Any] = {}
        self._name = name

    @cached_property
    def key(self) -> str:
        """A name that stands for the program of the cell and the instruction set."""
        made = vars(lower(self._traced, differentiate(self._traced)))
        tapes = [self.tape_size(dtype, 1, steps) for dtype in (torch.float32, torch.float64) for steps in (0, 1)]
        digest = hashlib.sha256(repr((sorted(made.items()), tapes, bindings.TAPES)).encode())
        return f"{self._name}:{digest.hexdigest()[:32]}"

    def tape_size(self, dtype: torch.dtype, batch: int, steps: int) -> int:
        """Returns how many numbers training stores; the sizes may be symbols of a compiler."""
        program = self.program(dtype, training=True)
        of_row = program.tape_size(1, 0)
        return batch * (of_row + steps * (program.tape_size(1, 1) - of_row))

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


def cells_of(stack: Stack, masks: Mapping[str, Mask] | None = None) -> tuple[CompiledCell, CompiledCell] | str:
    """Returns the compiled cells of the first and of the other layers, or the reason why there are none.

    Args:
        stack: cell, sizes, layers and directions.
        masks: the masks of a call in training.
    """
    # the representation of a cell has its attributes, which may change between calls, but not their modules
    layers, kinds = stack.num_layers > 1, tuple(map(type, vars(stack.cell).values()))
    key = (type(stack.cell), repr(stack.cell), kinds, stack.input_size, stack.hidden_size, layers)
    key += (stack.directions, stack.bias, stack.proj_size, bool(masks))
    found = _known.get(key)
    if found is None:
        found = _known[key] = _compile(stack, masks)
        if len(_known) > _MOST:
            _known.popitem(last=False)
    return found


def _compile(stack: Stack, masks: Mapping[str, Mask] | None) -> tuple[CompiledCell, CompiledCell] | str:
    def for_input(size: int) -> CompiledCell:
        options: dict[str, Any] = {"bias": stack.bias, "proj_size": stack.proj_size, "masks": masks}
        return CompiledCell(stack.cell.name, trace(stack.cell, size, stack.hidden_size, **options))

    try:
        first = for_input(stack.input_size)
        same = stack.num_layers == 1 or stack.output_size == stack.input_size
        return first, first if same else for_input(stack.output_size)
    except CompileError as error:
        return f"the cell {stack.cell.name!r} cannot be compiled: {error}"
