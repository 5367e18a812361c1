"""The native engine as operators of torch: for `torch.compile`, `torch.export` and fake tensors.

Plain calls take a shorter way (`native.run`); these are what a compiler records.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from recurra.cells import GRU, LSTM, RNN, Cell
from recurra.errors import EngineError, UsageError
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import address, check_device

from . import bindings

_CONFIG = (
    "int cell, int hidden_size, int proj_size, int num_layers, bool bidirectional, bool bias, bool batch_first, "
    "float dropout, int chunk, bool half"
)
_INPUTS = "Tensor values, Tensor[] weights, Tensor[] states, Tensor? lengths, Tensor? seed"

library = torch.library.Library("recurra", "FRAGMENT")
library.define(f"forward({_INPUTS}, {_CONFIG}, bool keep, int tapes) -> (Tensor, Tensor, Tensor, Tensor)")
library.define(
    f"backward(Tensor? of_output, Tensor? of_h, Tensor? of_c, Tensor tape, {_INPUTS}, {_CONFIG}, "
    "bool need_values, bool need_states, bool need_weights) -> Tensor[]"
)
_INPUT_COUNT, _CONFIG_COUNT = 5, 10

KERNELS: tuple[Cell, ...] = (RNN("tanh"), RNN("relu"), LSTM(), GRU())
"""The cells that the engine has kernels for, in the order of the C++ enumeration."""

_NUMBERS: dict[tuple[type, Any], int] = {
    (type(cell), getattr(cell, "nonlinearity", None)): number for number, cell in enumerate(KERNELS)
}


def kernel_of(cell: Cell) -> int | None:
    """Returns the number of the kernel of a cell; None if there is none."""
    return _NUMBERS.get((type(cell), getattr(cell, "nonlinearity", None)))


@lru_cache(maxsize=256)
def _stack(input_size: int, kind: int, hidden: int, projected: int, layers: int, both: bool, bias: bool) -> Stack:
    return Stack(KERNELS[kind], input_size, hidden, layers, both, bias, projected)


def _check(values: Tensor, weights: Any, states: Any, lengths: Any, config: tuple) -> None:
    """Raises a `UsageError` if a tensor is not as the engine reads it."""
    stack = _stack(values.shape[-1], *config[:6])
    batch = values.shape[0 if config[6] else 1]
    rows = stack.num_layers * stack.directions
    expected = [shape for _, shape in stack.named_shapes()]
    expected += [(rows, batch, size) for size in stack.state_sizes][: len(states)]
    found = [*weights, *states]
    if [tuple(t.shape) for t in found] != expected or any(t.dtype != values.dtype for t in found):
        raise UsageError(f"weights and states of recurra::forward must be {values.dtype} of the shapes {expected}")
    if lengths is not None and (lengths.shape != (batch,) or lengths.dtype != torch.int64):
        raise UsageError(f"the lengths of recurra::forward must be int64 of shape ({batch},)")


def _forward(values: Tensor, weights: Any, states: Any, lengths: Any, seed: Tensor | None, *config: Any) -> tuple:
    config, keep = config[:_CONFIG_COUNT], config[_CONFIG_COUNT]  # of `tapes`, compilers' caches are the only readers
    _check(values, weights, states, lengths, config)
    batch, steps = values.shape[:2] if config[6] else values.shape[1::-1]
    # all of it is an output of the operator, and outputs must be defined
    tape = values.new_zeros(bindings.tape_size(config, values.dtype, steps, batch) if keep else 0)
    output, h, c, _ = bindings.forward(config, values, weights, states, lengths, seed, keep=keep, tape=tape)
    return output, h, values.new_empty(0) if c is None else c, tape


def _forward_fake(values: Tensor, weights: Any, states: Any, lengths: Any, seed: Any, *config: Any) -> tuple:
    for tensor in (*weights, *states):  # torch calls this for a mixture of the devices cpu and meta
        check_device("a weight or state", tensor, values.device)
    config, keep = config[:_CONFIG_COUNT], config[_CONFIG_COUNT]
    kind, hidden, projected, layers, bidirectional, _, batch_first, *_ = config
    directions = 2 if bidirectional else 1
    out, batch, steps = projected or hidden, *(values.shape[:2] if batch_first else (values.shape[1], values.shape[0]))
    output = values.new_empty(values.shape[0], values.shape[1], directions * out)
    h = values.new_empty(layers * directions, batch, out)
    c = values.new_empty(layers * directions, batch, hidden) if kind == 2 else values.new_empty(0)
    size = bindings.tape_size(config, values.dtype, steps, batch) if keep else 0
    return output, h, c, values.new_empty(size)


def _backward(of_output: Any, of_h: Any, of_c: Any, tape: Tensor, *rest: Any) -> list[Tensor]:
    values, weights, states, lengths, seed = rest[:_INPUT_COUNT]
    config, needs = rest[_INPUT_COUNT : _INPUT_COUNT + _CONFIG_COUNT], rest[_INPUT_COUNT + _CONFIG_COUNT :]
    _check(values, weights, states, lengths, config)
    grads, inputs = (of_output, of_h, of_c), (values, *states, *weights)
    found = bindings.backward(config, grads, inputs, len(states), lengths, seed, address(tape), needs)
    return [g for g in found if g is not None]


def _backward_fake(
    of_output: Any, of_h: Any, of_c: Any, tape: Any, values: Tensor, weights: Any, states: Any, *rest: Any
):
    need_values, need_states, need_weights = rest[-3:]
    inputs = [values] * need_values + list(states) * need_states + list(weights) * need_weights
    return [i.new_empty(i.shape) for i in inputs]


def _keep_for_backward(ctx: Any, inputs: tuple, output: tuple) -> None:
    values, weights, states, lengths, seed, *config = inputs
    optional = [t for t in (lengths, seed) if t is not None]
    ctx.save_for_backward(output[3], values, *weights, *states, *optional)
    ctx.config = tuple(config[:_CONFIG_COUNT])
    ctx.counts = len(weights), len(states), lengths is not None, seed is not None
    ctx.set_materialize_grads(False)
    if not config[_CONFIG_COUNT]:
        raise EngineError("this call kept nothing for a backward pass")


def _differentiate(ctx: Any, of_output: Any, of_h: Any, of_c: Any, of_tape: Any) -> tuple:
    tape, values, *rest = ctx.saved_tensors
    n, m, has_lengths, has_seed = ctx.counts
    weights, states, rest = rest[:n], rest[n : n + m], rest[n + m :]
    lengths, seed = rest[0] if has_lengths else None, rest[-1] if has_seed else None
    if ctx.config[0] != 2:
        of_c = None
    needs = (ctx.needs_input_grad[0], any(_flat(ctx.needs_input_grad[2])), any(_flat(ctx.needs_input_grad[1])))
    inputs = (values, weights, states, lengths, seed)
    found = iter(torch.ops.recurra.backward(of_output, of_h, of_c, tape, *inputs, *ctx.config, *needs))
    of_values = next(found) if needs[0] else None
    of_states = [next(found) if needs[1] else None for _ in states]
    of_weights = [next(found) if needs[2] else None for _ in weights]
    return of_values, of_weights, of_states, *([None] * (2 + _CONFIG_COUNT + 2))


def _flat(needs: Any) -> Any:
    return needs if isinstance(needs, list | tuple) else (needs,)


def _no_second(ctx: Any, *grads: Any) -> Any:
    raise EngineError(bindings.FIRST_ONLY)


library.impl("forward", _forward, "CPU")
library.impl("backward", _backward, "CPU")
torch.library.register_fake("recurra::forward", _forward_fake, lib=library)
torch.library.register_fake("recurra::backward", _backward_fake, lib=library)
torch.library.register_autograd("recurra::forward", _differentiate, setup_context=_keep_for_backward, lib=library)
torch.library.register_autograd("recurra::backward", _no_second, lib=library)
forward = torch.ops.recurra.forward
