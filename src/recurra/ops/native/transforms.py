"""The native engine under the transforms of `torch.func`: gradients of functions, per-sample gradients, ensembles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from recurra.errors import EngineError
from recurra.ops.tensor_memory import address

from . import bindings
from .config import RecurrenceConfig


class Recurrence(Function):
    """`bindings.forward` with what backward needs as a tensor among its results."""

    @staticmethod
    def forward(  # noqa: D102
        config: RecurrenceConfig,
        count: int,
        lengths: Tensor | None,
        seed: Tensor | None,
        values: Tensor,
        *tensors: Tensor,
    ):
        batch, steps = config.batch_and_steps(values)
        tape = values.new_empty(bindings.tape_size(config, values.dtype, steps, batch))
        states, weights = tensors[:count], tensors[count:]
        output, h, c, _ = bindings.forward(config, values, weights, states, lengths, seed, keep=True, tape=tape)
        return output, h, values.new_empty(0) if c is None else c, tape

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:  # noqa: D102
        ctx.config, ctx.count, lengths, seed, *tensors = inputs
        ctx.save_for_backward(output[3], lengths, seed, *tensors)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):  # noqa: D102
        wanted = ctx.needs_input_grad[4:]
        needs = (wanted[0], any(wanted[1 : 1 + ctx.count]), any(wanted[1 + ctx.count :]))
        of_c = grads[2] if ctx.config.has_cell_state else None
        found = list(Gradients.apply(ctx.config, ctx.count, needs, grads[0], grads[1], of_c, *ctx.saved_tensors))  # type: ignore[misc]
        counts = (1, ctx.count, len(wanted) - 1 - ctx.count)
        return (
            None,
            None,
            None,
            None,
            *(found.pop(0) if need else None for need, n in zip(needs, counts, strict=True) for _ in range(n)),
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any):  # noqa: D102
        return for_each_sample(Recurrence.apply, info, in_dims, args)


class Gradients(Function):
    """`bindings.backward` as a function without a derivative."""

    @staticmethod
    def forward(  # noqa: D102
        config: RecurrenceConfig,
        count: int,
        needs: tuple,
        of_output: Any,
        of_h: Any,
        of_c: Any,
        tape: Tensor,
        *rest: Any,
    ):
        lengths, seed, *inputs = rest
        grads = (of_output, of_h, of_c)
        found = bindings.backward(config, grads, inputs, count, lengths, seed, address(tape), needs)
        return tuple(g for g in found if g is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:  # noqa: D102
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any):  # noqa: D102
        raise EngineError(bindings.FIRST_ONLY)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any):  # noqa: D102
        return for_each_sample(Gradients.apply, info, in_dims, args)


def for_each_sample(
    function: Callable[..., tuple[Tensor, ...]], info: Any, in_dims: tuple, args: tuple
) -> tuple[Any, Any]:
    """Runs one call per sample, because per-sample gradients need separate sums."""

    def sample(i: int) -> list:
        return [
            a.select(d, i) if isinstance(a, Tensor) and d is not None else a for a, d in zip(args, in_dims, strict=True)
        ]

    results = [function(*sample(i)) for i in range(info.batch_size)]
    stacked = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)
