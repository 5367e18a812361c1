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
from .stack import Stack

_engine: Any = None
_absent = ""
try:
    from . import _engine  # type: ignore[no-redef]
except ImportError as error:  # built without a compiler: the other engines serve, and say so
    _absent = str(error)

name = "native"

_FLOATS = (torch.float32, torch.float64)
_HALVES = (torch.bfloat16, torch.float16)


def refuses(call: Call) -> str | None:
    """Why the native engine cannot serve the call, or None if it can."""
    if _engine is None:
        return f"the native engine was not built: {_absent}"
    if type(call.stack.cell) not in (RNN, GRU, LSTM):
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
        # differentiable, so that gradients come back in the type of each weight
        values, weights = values.float(), [w.float() for w in weights]
        states = None if states is None else tuple(s.float() for s in states)
    config = configure(call)
    dropout = config[7]
    kept = () if states is None else tuple(states)
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        seed = torch.randint(2**62, ()) if dropout else None
        keep = torch.is_grad_enabled()
        output, h, c, _ = torch.ops.recurra.forward(values, list(weights), list(kept), lengths, seed, *config, keep)
    else:
        seed = int(torch.randint(2**62, ())) if dropout else 0
        if call.needs_grad:
            result = forward(config, values, weights, kept, lengths, seed, keep=True)
            output, *last = _Recurrence.apply(result, config, lengths, seed, len(kept), values, *kept, *weights)  # type: ignore[misc]
            return output, tuple(last)
        output, h, c, _ = forward(config, values, weights, kept, lengths, seed, keep=False)
    last = (h,) if c is None else (h, c)
    if call.dtype in _HALVES and not call.mixed:
        output, last = output.to(call.dtype), tuple(s.to(call.dtype) for s in last)
    return output, last


def configure(call: Call) -> tuple[int, int, int, int, bool, bool, bool, float, int]:
    """What the operators take beside tensors: kind of cell, sizes, and how the values lie."""
    stack = call.stack
    dropout = call.dropout if call.training and stack.num_layers > 1 else 0.0
    return (
        _kind(stack.cell),
        stack.hidden_size,
        stack.proj_size,
        stack.num_layers,
        stack.bidirectional,
        stack.bias,
        call.batch_first,
        dropout,
        call.chunk,
    )


def train(
    native: Any,
    weights: tuple[Tensor, ...],
    values: Tensor,
    states: Any,
    lengths: Tensor | None,
    *,
    batch_first: bool,
    dropout: float,
    chunk: int,
) -> Any:
    """The call of a layer with gradients at little cost; None for what is left to `run`."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0 or torch.is_autocast_enabled("cpu"):
        return None
    seed = int(torch.randint(2**62, ())) if dropout else 0
    result = native.keep(weights, values, states, lengths, batch_first, dropout, seed, chunk)
    if result is None:
        return None
    given = () if states is None else states if isinstance(states, tuple) else (states,)
    config = (*native.config, batch_first, dropout, chunk)
    output, *last = _Recurrence.apply(result, config, lengths, seed, len(given), values, *given, *weights)  # type: ignore[misc]
    return output, tuple(last) if len(last) == 2 else last[0]


def layer(stack: Stack) -> Any:
    """What serves a layer's calls without gradients at the lowest latency, or None without the engine.

    Its `forward(parameters, values, states, lengths, batch_first)`, `step(parameters, values, states)` and `keep` (see
    `train`) return None for what they leave to `run`.
    """
    if _engine is None or type(stack.cell) not in (RNN, GRU, LSTM):
        return None
    names, shapes = zip(*stack.named_shapes(), strict=True)
    sizes = (stack.input_size, stack.hidden_size, stack.proj_size, stack.num_layers, stack.bidirectional, stack.bias)
    return _engine.Layer(_kind(stack.cell), *sizes, names, list(shapes))


# ---- on real memory


def forward(
    config: tuple,
    values: Tensor,
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    lengths: Tensor | None,
    seed: int,
    *,
    keep: bool,
    tape: Any = None,
) -> tuple[Tensor, Tensor, Tensor | None, Any]:
    """Output, final hidden and cell states (the latter an LSTM's), and with `keep` what backward needs."""
    values, states, weights = _plain(values.detach()), _contiguous(states), _contiguous(weights)
    lengths = _index(lengths)
    kind, hidden, projected, layers, bidirectional, _, batch_first, *_ = config
    directions = 2 if bidirectional else 1
    spec, batch = _spec(config, values, seed)
    output = values.new_empty(*values.shape[:2], directions * (projected or hidden))
    h = values.new_empty(layers * directions, batch, projected or hidden)
    c = values.new_empty(layers * directions, batch, hidden) if kind == 2 else None
    engine = _of(values.dtype)
    tape = engine.Tape(spec) if keep and tape is None else tape
    arguments = (
        spec,
        _view(values, batch_first),
        0 if lengths is None else lengths.data_ptr(),
        [w.data_ptr() for w in weights],
        *_pair(states),
        _view(output, batch_first),
        *_pair((h, c)),
    )
    if tape is None:
        engine.infer(*arguments)
    else:
        engine.forward(*arguments, tape.data_ptr())
    return output, h, c, tape


def backward(
    config: tuple,
    grads: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    count: int,
    lengths: Tensor | None,
    seed: int,
    tape: int,
    needs: tuple[bool, bool, bool],
) -> list[Tensor | None]:
    """Gradients of the inputs: values, `count` states, weights, each as `needs` says, from those of the outputs."""
    values, states, weights = _plain(inputs[0].detach()), _contiguous(inputs[1 : 1 + count]), _contiguous(inputs[1 + count :])
    output, last = None if grads[0] is None else _plain(grads[0]), _contiguous(grads[1:])
    lengths = _index(lengths)
    spec, _ = _spec(config, values, seed)
    of_values = torch.empty(values.shape, dtype=values.dtype) if needs[0] else None
    of_states = [torch.empty_like(s) if needs[1] else None for s in states]
    of_weights = [torch.empty_like(w) if needs[2] else None for w in weights]
    _of(values.dtype).backward(
        spec,
        _view(values, config[6]),
        0 if lengths is None else lengths.data_ptr(),
        [w.data_ptr() for w in weights],
        *_pair(states),
        _view(output, config[6]),
        *_pair(last if config[0] == 2 else last[:1]),
        _view(of_values, config[6]),
        [g.data_ptr() for g in of_weights if g is not None],
        *_pair(of_states),
        tape,
    )
    return [of_values, *of_states, *of_weights]


class _Recurrence(torch.autograd.Function):
    """Forward and backward through time as one node of the graph: the operators' work at less cost per call."""

    @staticmethod
    def forward(ctx: Any, result: tuple, config: tuple, lengths: Tensor | None, seed: int, count: int, *tensors: Tensor):
        output, h, c, ctx.tape = result  # computed before: a tensor given as an argument would be taken for an input
        ctx.save_for_backward(*tensors)
        ctx.config, ctx.lengths, ctx.seed, ctx.count = config, lengths, seed, count
        ctx.set_materialize_grads(False)
        return (output, h) if c is None else (output, h, c)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None):
        saved, count, grads = ctx.saved_tensors, ctx.count, (*grads, None)[:3]
        wanted = ctx.needs_input_grad[5:]
        needs = (wanted[0], any(wanted[1 : 1 + count]), any(wanted[1 + count :]))
        with torch.no_grad():
            found = ctx.tape.gradients(ctx.config[6], grads, saved, count, ctx.lengths, *needs)
            if found is None:
                found = backward(ctx.config, grads, saved, count, ctx.lengths, ctx.seed, ctx.tape.data_ptr(), needs)
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
        raise EngineError('the native engine gives first derivatives only; use engine="builtin" or "reference"')


def tape_size(config: tuple, dtype: torch.dtype, steps: Any, batch: Any) -> Any:
    """Numbers that a call keeps for its backward pass, at most; steps and batch may be symbols."""

    def size(steps: int, chunk: int) -> int:
        kind, hidden, projected, layers, bidirectional, bias, _, dropout, _ = config
        return _of(dtype).tape_size(
            _engine.Spec(kind, steps, 1, 1, hidden, projected, layers, bidirectional, bias, dropout, 0, 1, chunk)
        )

    chunk = config[-1]
    if not chunk:
        return steps * batch * size(1, 0)
    per_step = size(2, 2) - size(1, 2)
    return batch * ((steps + chunk - 1) // chunk * (size(1, 1) - per_step) + steps * per_step)


def _kind(cell: Any) -> int:
    if isinstance(cell, RNN):
        return 0 if cell.nonlinearity == "tanh" else 1
    return 2 if isinstance(cell, LSTM) else 3


def _of(dtype: torch.dtype) -> Any:
    return _engine.float32 if dtype == torch.float32 else _engine.float64


def _spec(config: tuple, values: Tensor, seed: int) -> tuple[Any, int]:
    """The engine's description of a call, and the size of its batch."""
    kind, hidden, projected, layers, bidirectional, bias, batch_first, dropout, chunk = config
    batch, steps = values.shape[:2] if batch_first else values.shape[1::-1]
    threads = torch.get_num_threads()
    size = values.shape[2]
    return _engine.Spec(
        kind, steps, batch, size, hidden, projected, layers, bidirectional, bias, dropout, seed, threads, chunk
    ), batch


def _plain(values: Tensor) -> Tensor:
    """`values` with contiguous features and nothing left to negate."""
    values = values.resolve_neg()
    return values if values.stride(-1) == 1 or values.shape[-1] == 1 else values.contiguous()


def _contiguous(tensors: Sequence[Tensor | None]) -> list[Any]:
    return [None if t is None else t.detach().resolve_neg().contiguous() for t in tensors]


def _index(lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else lengths.cpu().long().contiguous()


def _view(values: Tensor | None, batch_first: bool) -> tuple[int, int, int]:
    """Address and strides of batch and time."""
    if values is None:
        return 0, 0, 0
    batch, time = (0, 1) if batch_first else (1, 0)
    return values.data_ptr(), values.stride(batch), values.stride(time)


def _pair(states: Sequence[Tensor | None]) -> tuple[int, int]:
    first, second = (*states, None, None)[:2]
    return 0 if first is None else first.data_ptr(), 0 if second is None else second.data_ptr()
