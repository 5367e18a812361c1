"""Our own engine: the whole stack in C++, over real tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recurra.cells import Cell, State
from recurra.errors import EngineError
from recurra.ops.call import Call, transformed
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import address, materialize, watched

from . import bindings, operators, transforms
from .config import RecurrenceConfig, kernel_of

name = "native"

_FLOATS = (torch.float32, torch.float64)
_HALVES = (torch.bfloat16, torch.float16)


def supports(cell: Cell) -> bool:
    """Returns whether the engine has a kernel for the cell."""
    return kernel_of(cell) is not None


def refuses(call: Call) -> str | None:
    """Why the native engine cannot serve the call, or None if it can."""
    if bindings.engine is None:
        return f"the native engine was not built: {bindings.absent}"
    if not supports(call.stack.cell):
        return f"the native engine has no kernel for the cell {call.stack.cell.name!r}"
    if call.device.type != "cpu":
        return f"the native engine runs on the CPU, the values lie on {call.device}"
    if call.dtype in _HALVES and call.needs_grad and not call.mixed:
        return f"the native engine trains in float32 and float64, not {call.dtype}"
    if call.dtype not in (*_FLOATS, *_HALVES):
        return f"the native engine computes in float32 and float64, not {call.dtype}"
    if torch._C._get_tracing_state():
        return "the native engine cannot be traced by torch.jit"
    if forward_ad._current_level >= 0:
        return "the native engine has no forward-mode derivatives"
    return None


def run(call: Call, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes. Half precision and autocast compute in float32."""
    if call.mixed or call.dtype in _HALVES:
        # differentiable, so that gradients come back in the type of each weight; float64 stays, as in torch
        dtype = torch.promote_types(call.dtype, torch.float32)
        values, weights = values.to(dtype), [w.to(dtype) for w in weights]
        states = None if states is None else tuple(s.to(dtype) for s in states)
    config = configure(call)
    kept = () if states is None else tuple(states)
    lengths = None if lengths is None else lengths.cpu().contiguous()
    if watched(values, *kept, *weights):
        seed = _draw() if config.dropout else None
        keep = torch.is_grad_enabled()
        inputs = (values, list(weights), list(kept), lengths, seed)
        output, h, c, _ = operators.forward(*inputs, *config, keep, bindings.TAPES)
        last = (h, c)[: len(call.stack.cell.states)]
    elif torch._C._are_functorch_transforms_active():
        seed = _draw() if config.dropout else None
        output, h, c, _ = transforms.Recurrence.apply(config, len(kept), lengths, seed, values, *kept, *weights)  # type: ignore[misc]
        last = (h, c)[: len(call.stack.cell.states)]
    else:
        seed = int(_draw()) if config.dropout else 0
        if call.needs_grad:
            result = bindings.forward(config, values, weights, kept, lengths, seed, keep=True)
            output, *last = _Recurrence.apply(result, config, lengths, seed, len(kept), values, *kept, *weights)  # type: ignore[misc]
            return output, tuple(last)
        output, h, c, _ = bindings.forward(config, values, weights, kept, lengths, seed, keep=False)
        last = (h,) if c is None else (h, c)
    if call.dtype in _HALVES and not call.mixed:
        output, last = output.to(call.dtype), tuple(s.to(call.dtype) for s in last)
    return output, last


def configure(call: Call) -> RecurrenceConfig:
    """Returns what the operators take beside tensors, for a call that the engine serves."""
    stack, kernel = call.stack, kernel_of(call.stack.cell)
    assert kernel is not None  # noqa: S101  (see `refuses`)
    return RecurrenceConfig(
        kernel,
        stack.hidden_size,
        stack.proj_size,
        stack.num_layers,
        stack.bidirectional,
        stack.bias,
        call.batch_first,
        call.dropout if call.training and stack.num_layers > 1 else 0.0,
        call.chunk,
        call.precision == "bfloat16",
    )


def train(
    native: Any,
    weights: tuple[Tensor | None, ...],
    values: Tensor,
    states: Any,
    lengths: Tensor | None,
    *,
    batch_first: bool,
    dropout: float,
    half: bool,
) -> Any:
    """The call of a layer with gradients at little cost, everything stored; None for what is left to `run`."""
    if transformed() or torch.is_autocast_enabled("cpu"):
        return None
    seed = 0

    def draw_seed() -> int:
        nonlocal seed
        seed = int(_draw())
        return seed

    result = native.keep(weights, values, states, lengths, batch_first, dropout, draw_seed, half)
    if result is None:
        return None
    given = () if states is None else states if isinstance(states, tuple) else (states,)
    config = RecurrenceConfig._make((*native.config, batch_first, dropout, 0, half))
    output, *last = _Recurrence.apply(result, config, lengths, seed, len(given), values, *given, *weights)  # type: ignore[misc]
    return output, tuple(last) if len(last) == 2 else last[0]


def layer(stack: Stack) -> Any:
    """What serves a layer's calls without gradients at the lowest latency, or None without the engine.

    Its `forward(parameters, values, states, lengths, batch_first)`, `step(parameters, values, states)` and `keep` (see
    `train`) return None for what they leave to `run`.
    """
    if bindings.engine is None or not supports(stack.cell):
        return None
    names, shapes = zip(*stack.named_shapes(), strict=True)
    sizes = (stack.input_size, stack.hidden_size, stack.proj_size, stack.num_layers, stack.bidirectional, stack.bias)
    return bindings.engine.Layer(kernel_of(stack.cell), *sizes, names, list(shapes))


def open_stream(stack: Stack, weights: Sequence[Tensor], batch: int, *, half: bool) -> Any:
    """The engine's side of a session, or None without the engine."""
    if bindings.engine is None or not supports(stack.cell):
        return None
    kernel, threads = kernel_of(stack.cell), torch.get_num_threads()
    sizes = (stack.hidden_size, stack.proj_size, stack.num_layers, False, stack.bias)
    config = RecurrenceConfig(kernel, *sizes, batch_first=True, dropout=0.0, chunk=0, bf16=False)
    spec = bindings.spec_of(config, batch, 1, stack.input_size, threads=threads)
    flat = [materialize(w).contiguous() for w in weights]
    return bindings.engine.Stream(spec, [address(w) for w in flat], half)


class _Recurrence(torch.autograd.Function):
    """Forward and backward through time as one node of the graph: the operators' work at less cost per call."""

    @staticmethod
    def forward(
        ctx: Any,
        result: tuple,
        config: RecurrenceConfig,
        lengths: Tensor | None,
        seed: int,
        count: int,
        *tensors: Tensor,
    ):
        output, h, c, ctx.tape = result  # computed before: a tensor given as an argument would be taken for an input
        ctx.save_for_backward(*tensors)
        # the caller may use his tensor of lengths for the next batch
        ctx.lengths = None if lengths is None else lengths.clone()
        ctx.config, ctx.seed, ctx.count = config, seed, count
        ctx.set_materialize_grads(False)
        return (output, h) if c is None else (output, h, c)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):
        saved, count, grads = ctx.saved_tensors, ctx.count, (*grads, None)[:3]
        wanted = ctx.needs_input_grad[5:]
        needs = (wanted[0], any(wanted[1 : 1 + count]), any(wanted[1 + count :]))
        with torch.no_grad():
            found = ctx.tape.gradients(ctx.config.batch_first, grads, saved, count, ctx.lengths, *needs)
            if found is None:
                found = bindings.backward(
                    ctx.config, grads, saved, count, ctx.lengths, ctx.seed, ctx.tape.data_ptr(), needs
                )
        if torch.is_grad_enabled():  # create_graph=True
            inputs = [*saved, *(g for g in grads if g is not None)]
            found = _Last.apply(len(inputs), *inputs, *found)  # type: ignore[misc]
        return None, None, None, None, None, *found


class _Last(torch.autograd.Function):
    """Gradients as they are, tied to what they depend on by an error: in a second derivative they are no constants."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor | None):
        return tensors[count:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):
        raise EngineError(bindings.FIRST_ONLY)


def _draw() -> Tensor:
    return torch.randint(2**62, (), device="cpu")  # also if torch's default device is another
