"""The native engine: the whole stack in C++, over real tokens only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recurra.cells import Cell, State
from recurra.ops.call_spec import CallSpec
from recurra.ops.stack import Stack
from recurra.ops.tensor_memory import address, materialize, transformed, watched

from . import bindings, forking, operators, transforms
from .build_report import build_log
from .config import RecurrenceConfig, kernel_of
from .first_derivatives import first_only

name = "native"

forking.register()

_built: Any = bindings.engine or SimpleNamespace(Layer=object, StepSession=object)

_FLOATS = (torch.float32, torch.float64)
_LOW_PRECISION = (torch.bfloat16, torch.float16)


def supports(cell: Cell) -> bool:
    """Returns whether the engine has a kernel for the cell."""
    return kernel_of(cell) is not None


def refuses(call: CallSpec) -> str | None:
    """Returns why the native engine cannot serve the call; None if it can."""
    if bindings.engine is None:
        return f"the native engine was not built: {bindings.absent}"
    if not supports(call.stack.cell):
        return f"the native engine has no kernel for the cell {call.stack.cell.name!r}"
    if call.device.type != "cpu":
        return f"the native engine runs on the CPU, the values lie on {call.device}"
    if call.dtype in _LOW_PRECISION and call.needs_grad and not call.mixed:
        return f"the native engine trains in float32 and float64, not {call.dtype}"
    if call.dtype not in (*_FLOATS, *_LOW_PRECISION):
        return f"the native engine computes in float32 and float64, not {call.dtype}"
    if torch._C._get_tracing_state():
        return "the native engine cannot be traced by torch.jit"
    if forward_ad._current_level >= 0:
        return "the native engine has no forward-mode derivatives"
    return None


def run(call: CallSpec, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes. Half precision and autocast compute in float32."""
    if call.mixed or call.dtype in _LOW_PRECISION:
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
    if call.dtype in _LOW_PRECISION and not call.mixed:
        output, last = output.to(call.dtype), tuple(s.to(call.dtype) for s in last)
    return output, last


def configure(call: CallSpec) -> RecurrenceConfig:
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


def fast_layer(stack: Stack) -> Any:
    """Returns the C++ object that runs the layer's calls with little overhead; None without it."""
    if bindings.engine is None or not supports(stack.cell):
        return None
    names, shapes = zip(*stack.named_shapes(), strict=True)
    sizes = (stack.input_size, stack.hidden_size, stack.proj_size, stack.num_layers, stack.bidirectional, stack.bias)
    return _FastLayer(kernel_of(stack.cell), *sizes, names, list(shapes))


class _FastLayer(_built.Layer):
    """`forward` and `step` of C++, and training with everything stored; see `recurra.ops.registry.FastLayer`."""

    __slots__ = ()

    def train(
        self,
        weights: tuple[Tensor | None, ...],
        values: Tensor,
        states: Any,
        lengths: Tensor | None,
        *,
        batch_first: bool,
        dropout: float,
        bf16: bool,
    ) -> Any:
        if transformed() or torch.is_autocast_enabled("cpu"):
            return None
        seed = 0

        def draw_seed() -> int:
            nonlocal seed
            seed = int(_draw())
            return seed

        result = self.keep(weights, values, states, lengths, batch_first, dropout, draw_seed, bf16)
        if result is None:
            return None
        given = () if states is None else states if isinstance(states, tuple) else (states,)
        config = RecurrenceConfig._make((*self.config, batch_first, dropout, 0, bf16))
        output, *last = _Recurrence.apply(result, config, lengths, seed, len(given), values, *given, *weights)  # type: ignore[misc]
        return output, tuple(last) if len(last) == 2 else last[0]


def record(
    call: CallSpec,
    values: Tensor,
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    states: State | None,
    sizes: Mapping[str, int],
) -> tuple[Tensor, State, dict[str, Tensor]] | None:
    """Returns output, last states and the gates that the backward pass would need; None if the call is not served."""
    if refuses(call) or call.mixed or call.dtype not in _FLOATS or watched(values, *weights):
        return None
    config = configure(call)
    output, h, c, tape = bindings.forward(config, values, weights, states or (), lengths, None, keep=True)
    arrays = bindings.export_gates(config, values, lengths, tape, tuple(call.stack.inner_sizes), sizes)
    return output, (h,) if c is None else (h, c), arrays


def open_session(stack: Stack, weights: Sequence[Tensor], batch: int, *, bf16: bool, int8: bool = False) -> Any:
    """Returns a session with the weights packed; None without the engine."""
    kernel, threads = kernel_of(stack.cell), torch.get_num_threads()
    if bindings.engine is None or kernel is None:
        return None
    sizes = (stack.hidden_size, stack.proj_size, stack.num_layers, False, stack.bias)
    config = RecurrenceConfig(kernel, *sizes, batch_first=True, dropout=0.0, chunk=0, bf16=False)
    spec = bindings.spec_of(config, batch, 1, stack.input_size, threads=threads)
    flat = [materialize(w).contiguous() for w in weights]
    return _StepSession(spec, [address(w) for w in flat], 2 if int8 else int(bf16))


class _StepSession(_built.StepSession):
    """`step` and `reset` of C++; states as tensors."""

    __slots__ = ()

    def read(self, states: State) -> None:
        self.read_state(*map(address, states), *[0] * (2 - len(states)))

    def write(self, states: State) -> None:
        self.write_state(*map(address, states), *[0] * (2 - len(states)))


def describe() -> dict[str, Any]:
    """Returns whether the engine was built, and its instructions; if not, the first error of its build and a file."""
    engine = bindings.engine
    log = None if engine is not None else build_log(bindings.folders())
    return {
        "built": engine is not None,
        "instructions": engine and engine.chosen(),
        "products of bfloat16": engine and (engine.bf16_engine() or "not faster than those of float32"),
        "why not": bindings.absent or None,
        "output of the build": None if log is None else str(log),
    }


class _Recurrence(torch.autograd.Function):
    """Forward and backward pass as one node of the autograd graph, with less overhead than the operators."""

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
        output, h, c, ctx.tape = result  # computed before: torch would take a tensor argument for an input
        ctx.save_for_backward(*tensors)
        # the caller may reuse the tensor for the next batch
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
        inputs = [*saved, *(g for g in grads if g is not None)]
        return None, None, None, None, None, *first_only(bindings.FIRST_ONLY, inputs, found)


def _draw() -> Tensor:
    return torch.randint(2**62, (), device="cpu")  # also if torch's default device is another
