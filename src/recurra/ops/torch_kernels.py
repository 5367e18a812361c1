"""Engine of torch's kernels: oneDNN and ATen on the CPU, cuDNN on CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import _VF, Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.cells import RNN, Cell, State
from recurra.cells.registry import torch_class

from .call_spec import CallSpec

name = "builtin"

_FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def supports(cell: Cell) -> bool:
    """Returns whether torch has a kernel for the cell."""
    return bool(torch_class(cell))


def refuses(call: CallSpec) -> str | None:
    """Returns why torch's kernels cannot serve the call; None if they can."""
    if not supports(call.stack.cell):
        return f"torch has no kernel for the cell {call.stack.cell.name!r}"
    if call.dtype not in _FLOATS:
        return f"torch has no kernel for {call.dtype}"
    if call.ragged and call.device.type == "meta":
        return "torch cannot pack sequences on the device meta"
    if call.steps == 0 or call.batch == 0:
        return "torch's kernels refuse input without steps or without sequences"
    return None


def run(call: CallSpec, values: Tensor, weights: Sequence[Tensor], lengths: Tensor | None, states: State | None):
    """Runs the stack; see `recurra.ops.recurrence` for the shapes."""
    states = call.zeros(values) if states is None else states
    if lengths is None:
        return _kernel(call, values, None, weights, states)
    # A packed batch cannot contain empty sequences. They run one step on zeros, which is then discarded.
    empty = (lengths == 0).to(values.device).unsqueeze(-1)
    absent = empty.unsqueeze(-1) if call.batch_first else empty
    safe = values.masked_fill(absent, 0)
    packed = pack_padded_sequence(safe, lengths.clamp(min=1).cpu(), call.batch_first, enforce_sorted=False)
    order, back = cast(tuple[Tensor, Tensor], (packed.sorted_indices, packed.unsorted_indices))
    data, last = _kernel(
        call, packed.data, packed.batch_sizes, weights, tuple(s.index_select(1, order) for s in states)
    )
    output, _ = pad_packed_sequence(packed._replace(data=data), call.batch_first, total_length=call.steps)
    return output.masked_fill(absent, 0), tuple(
        torch.where(empty, s, n.index_select(1, back)) for s, n in zip(states, last, strict=True)
    )


def _kernel(call: CallSpec, data: Tensor, batch_sizes: Tensor | None, weights: Sequence[Tensor], states: State):
    cell = call.stack.cell
    function = getattr(_VF, f"rnn_{cell.nonlinearity}" if isinstance(cell, RNN) else cell.name)
    # cuDNN keeps what backward needs only in training mode; without dropout the results are the same
    train = call.training or (call.needs_grad and data.is_cuda)
    dropout = call.dropout if call.training else 0.0
    state = states[0] if len(states) == 1 else list(states)
    layers, both = call.stack.num_layers, call.stack.bidirectional
    options = (list(weights), call.stack.bias, layers, dropout, train, both)
    if batch_sizes is None:
        result = function(data, state, *options, call.batch_first)
    else:
        result = function(data, batch_sizes, state, *options)
    return result[0], tuple(result[1:])
