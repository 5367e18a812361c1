"""The native engine as operators of torch: for `torch.compile`, `torch.export` and fake tensors.

Compilers record these operators. Plain calls do not use them (see `engine.run`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import EngineError, UsageError
from recurra.ops.tensor_memory import address, check_device

from . import bindings
from .config import RecurrenceConfig

# files of torch.export store these argument names, so they stay although a field is named otherwise
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
_INPUT_COUNT, _CONFIG_COUNT = 5, len(RecurrenceConfig._fields)


def _check(values: Tensor, weights: Any, states: Any, lengths: Any, config: RecurrenceConfig) -> None:
    """Raises a `UsageError` if a tensor is not as the engine reads it."""
    stack = config.stack(values.shape[-1])
    batch, _ = config.batch_and_steps(values)
    expected: list[tuple[int, ...]] = [shape for _, shape in stack.named_shapes()]
    expected += stack.state_shapes(batch)[: len(states)]
    found = [*weights, *states]
    if [tuple(t.shape) for t in found] != expected or any(t.dtype != values.dtype for t in found):
        raise UsageError(f"weights and states of recurra::forward must be {values.dtype} of the shapes {expected}")
    if lengths is not None and (lengths.shape != (batch,) or lengths.dtype != torch.int64):
        raise UsageError(f"the lengths of recurra::forward must be int64 of shape ({batch},)")


def _forward(values: Tensor, weights: Any, states: Any, lengths: Any, seed: Tensor | None, *options: Any) -> tuple:
    config, keep, _ = _named(options)  # only the caches of compilers read `tapes`
    _check(values, weights, states, lengths, config)
    batch, steps = config.batch_and_steps(values)
    # all of it is an output of the operator, and outputs must be defined
    tape = values.new_zeros(bindings.tape_size(config, values.dtype, steps, batch) if keep else 0)
    output, h, c, _ = bindings.forward(config, values, weights, states, lengths, seed, keep=keep, tape=tape)
    return output, h, values.new_empty(0) if c is None else c, tape


def _forward_fake(values: Tensor, weights: Any, states: Any, lengths: Any, seed: Any, *options: Any) -> tuple:
    for tensor in (*weights, *states):  # torch calls this for a mixture of the devices cpu and meta
        check_device("a weight or state", tensor, values.device)
    config, keep, _ = _named(options)
    batch, steps = config.batch_and_steps(values)
    output, h, c = config.new_results(values)
    size = bindings.tape_size(config, values.dtype, steps, batch) if keep else 0
    return output, h, values.new_empty(0) if c is None else c, values.new_empty(size)


def _backward(of_output: Any, of_h: Any, of_c: Any, tape: Tensor, *rest: Any) -> list[Tensor]:
    values, weights, states, lengths, seed = rest[:_INPUT_COUNT]
    config, *needs = _named(rest[_INPUT_COUNT:])
    _check(values, weights, states, lengths, config)
    grads, inputs = (of_output, of_h, of_c), (values, *states, *weights)
    found = bindings.backward(config, grads, inputs, len(states), lengths, seed, address(tape), tuple(needs))
    return [g for g in found if g is not None]


def _backward_fake(
    of_output: Any, of_h: Any, of_c: Any, tape: Any, values: Tensor, weights: Any, states: Any, *rest: Any
):
    need_values, need_states, need_weights = rest[-3:]
    inputs = [values] * need_values + list(states) * need_states + list(weights) * need_weights
    return [i.new_empty(i.shape) for i in inputs]


def _keep_for_backward(ctx: Any, inputs: tuple, output: tuple) -> None:
    values, weights, states, lengths, seed, *options = inputs
    optional = [t for t in (lengths, seed) if t is not None]
    ctx.save_for_backward(output[3], values, *weights, *states, *optional)
    ctx.config, keep, _ = _named(options)
    ctx.counts = len(weights), len(states), lengths is not None, seed is not None
    ctx.set_materialize_grads(False)
    if not keep:
        raise EngineError("this call kept nothing for a backward pass")


def _differentiate(ctx: Any, of_output: Any, of_h: Any, of_c: Any, of_tape: Any) -> tuple:
    tape, values, *rest = ctx.saved_tensors
    n, m, has_lengths, has_seed = ctx.counts
    weights, states, rest = rest[:n], rest[n : n + m], rest[n + m :]
    lengths, seed = rest[0] if has_lengths else None, rest[-1] if has_seed else None
    if not ctx.config.has_cell_state:
        of_c = None
    needs = (ctx.needs_input_grad[0], any(_flat(ctx.needs_input_grad[2])), any(_flat(ctx.needs_input_grad[1])))
    inputs = (values, weights, states, lengths, seed)
    found = iter(torch.ops.recurra.backward(of_output, of_h, of_c, tape, *inputs, *ctx.config, *needs))
    of_values = next(found) if needs[0] else None
    of_states = [next(found) if needs[1] else None for _ in states]
    of_weights = [next(found) if needs[2] else None for _ in weights]
    return of_values, of_weights, of_states, *([None] * (2 + _CONFIG_COUNT + 2))


def _named(options: Any) -> tuple:
    """The flat arguments of an operator after its tensors: the fields of the configuration as one, then the others."""
    return RecurrenceConfig(*options[:_CONFIG_COUNT]), *options[_CONFIG_COUNT:]


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
