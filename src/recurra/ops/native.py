"""Our own engine: the whole stack in C++, over real tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from recurra.cells import GRU, LSTM, RNN, State
from recurra.errors import EngineError

from .call import Call

_engine: Any = None
_absent = ""
try:
    from . import _engine  # type: ignore[no-redef]
except ImportError as error:  # built without a compiler: the other engines serve, and say so
    _absent = str(error)

name = "native"


def refuses(call: Call) -> str | None:
    """Why the native engine cannot serve the call, or None if it can."""
    if _engine is None:
        return f"the native engine was not built: {_absent}"
    if type(call.stack.cell) not in (RNN, GRU, LSTM):
        return f"the native engine has no kernel for the cell {call.stack.cell.name!r}"
    if call.stack.proj_size:
        return "the native engine has no projection yet"
    if call.device.type != "cpu":
        return f"the native engine runs on the CPU, the values lie on {call.device}"
    if call.dtype not in (torch.float32, torch.float64):
        return f"the native engine computes in float32 and float64, not {call.dtype}"
    if call.mixed:
        return "the native engine takes no part in autocast"
    if torch.compiler.is_compiling() or torch._C._get_tracing_state():
        return "the native engine cannot be traced or compiled"
    if _transformed():
        return "the native engine knows only the reverse mode of autograd, no other transforms"
    return None


def run(call: Call, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes."""
    output, *last = _Recurrence.apply(call, lengths, values, len(states), *states, *weights)  # type: ignore[misc]
    return output, tuple(last)


class _Recurrence(torch.autograd.Function):
    """Forward and backward through time as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, call: Call, lengths: Tensor | None, values: Tensor, count: int, *tensors: Tensor):
        ctx.save_for_backward(values, *tensors)
        values = _plain(values.detach())
        states, weights = _contiguous(tensors[:count]), _contiguous(tensors[count:])
        lengths = None if lengths is None else lengths.cpu().contiguous()
        stack = call.stack
        shape = (call.batch, call.steps) if call.batch_first else (call.steps, call.batch)
        output = values.new_empty(*shape, stack.output_size)
        last = [torch.empty_like(s) for s in states]
        engine: Any = _engine.RunFloat if call.dtype == torch.float32 else _engine.RunDouble
        dropout = call.dropout if call.training and stack.num_layers > 1 else 0.0
        seed = int(torch.randint(2**62, ())) if dropout else 0
        work = engine.make(
            _kind(stack.cell),
            call.steps,
            call.batch,
            stack.input_size,
            stack.hidden_size,
            stack.num_layers,
            stack.bidirectional,
            stack.bias,
            dropout,
            seed,
            torch.get_num_threads(),
            call.needs_grad,
        )
        work.forward(
            _view(values, call),
            0 if lengths is None else lengths.data_ptr(),
            [w.data_ptr() for w in weights],
            *_pair(states),
            _view(output, call),
            *_pair(last),
        )
        ctx.call, ctx.work, ctx.count = call, work, count
        return output, *last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):
        with torch.no_grad():
            values, *others = _Recurrence.gradients(ctx, *grads)
        if torch.is_grad_enabled():  # create_graph=True
            inputs = [*ctx.saved_tensors, *(g for g in grads if g is not None)]
            values, *others = _Last.apply(len(inputs), *inputs, values, *others)  # type: ignore[misc]
        return None, None, values, None, *others

    @staticmethod
    def gradients(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the values, states and weights, from those of the output and final states."""
        call, weights = ctx.call, _contiguous(ctx.saved_tensors[1 + ctx.count :])
        output, *last = grads
        output = None if output is None else _plain(output)
        last = _contiguous(last)
        need_values, need_states = ctx.needs_input_grad[2], ctx.needs_input_grad[4 : 4 + ctx.count]
        need_weights = any(ctx.needs_input_grad[4 + ctx.count :])
        like = weights[0]
        gvalues = like.new_empty(ctx.saved_tensors[0].shape) if need_values else None
        gstates = [
            like.new_empty(call.stack.num_layers * call.stack.directions, call.batch, call.stack.hidden_size)
            if any(need_states)
            else None
            for _ in range(ctx.count)
        ]
        gweights = [torch.empty_like(w) for w in weights] if need_weights else []
        ctx.work.backward(
            [w.data_ptr() for w in weights],
            _view(output, call),
            *_pair(last),
            _view(gvalues, call),
            [g.data_ptr() for g in gweights],
            *_pair(gstates),
        )
        return gvalues, *gstates, *(gweights or [None] * len(weights))


class _Last(torch.autograd.Function):
    """Gradients as they are, tied to what they depend on by an error: in a second derivative they are no constants."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor | None):
        return tensors[count:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):
        raise EngineError('the native engine gives first derivatives only; use engine="builtin" or "reference"')


def _kind(cell: Any) -> int:
    if isinstance(cell, RNN):
        return 0 if cell.nonlinearity == "tanh" else 1
    return 2 if isinstance(cell, LSTM) else 3


def _transformed() -> bool:
    """Whether torch.func or forward-mode differentiation is at work: tensors then have no memory to point to."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _plain(values: Tensor) -> Tensor:
    """`values` with contiguous features and nothing left to negate."""
    values = values.resolve_neg()
    return values if values.stride(-1) == 1 or values.shape[-1] == 1 else values.contiguous()


def _contiguous(tensors: Sequence[Tensor | None]) -> list[Any]:
    return [None if t is None else t.detach().resolve_neg().contiguous() for t in tensors]


def _view(values: Tensor | None, call: Call) -> tuple[int, int, int]:
    """Address and strides of batch and time."""
    if values is None:
        return 0, 0, 0
    batch, time = (0, 1) if call.batch_first else (1, 0)
    return values.data_ptr(), values.stride(batch), values.stride(time)


def _pair(states: Sequence[Tensor | None]) -> tuple[int, int]:
    first, second = (*states, None)[:2]
    return 0 if first is None else first.data_ptr(), 0 if second is None else second.data_ptr()
