"""Functions of the C++ engine for tensors in CPU memory. They pass the addresses of the tensors."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.ops.tensor_memory import address, materialize

from .build_report import why_absent
from .config import KERNELS, RecurrenceConfig


def folders() -> list[str]:
    """Returns the folders of this package; an editable installation has two."""
    return list(sys.modules[__name__.rpartition(".")[0]].__path__)


engine: Any = None
absent = ""
try:
    from recurra.ops.native import _engine as engine  # type: ignore[no-redef]
except ImportError as error:  # installed without it: the other engines serve, and say so
    absent = why_absent(folders(), error)

FIRST_ONLY = 'the native engine gives first derivatives only; use engine="builtin" or "reference"'


def forward(
    config: RecurrenceConfig,
    values: Tensor,
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    lengths: Tensor | None,
    seed: Tensor | int | None,
    *,
    keep: bool,
    tape: Any = None,
) -> tuple[Tensor, Tensor, Tensor | None, Any]:
    """Returns the output, the last hidden states, an LSTM's last cell states, and with `keep` the tape for backward."""
    values, states, weights = plain(values.detach()), contiguous(states), contiguous(weights)
    lengths = _index(lengths)
    spec = _spec(config, values, seed)
    output, h, c = config.new_results(values)
    numbers = numbers_of(values.dtype)
    tape = numbers.Tape(spec) if keep and tape is None else tape
    arguments = (
        spec,
        view(values, config.batch_first),
        0 if lengths is None else lengths.data_ptr(),
        [w.data_ptr() for w in weights],
        *_pair(states),
        view(output, config.batch_first),
        *_pair((h, c)),
    )
    if keep:
        numbers.forward(*arguments, tape.data_ptr())
    else:
        numbers.infer(*arguments)
    return output, h, c, tape


def backward(
    config: RecurrenceConfig,
    grads: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    count: int,
    lengths: Tensor | None,
    seed: Tensor | int | None,
    tape: int,
    needs: tuple[bool, bool, bool],
) -> list[Tensor | None]:
    """Gradients of the inputs: values, `count` states, weights, each as `needs` says, from those of the outputs."""
    values, states, weights = (
        plain(inputs[0].detach()),
        contiguous(inputs[1 : 1 + count]),
        contiguous(inputs[1 + count :]),
    )
    output, last = None if grads[0] is None else plain(grads[0]), contiguous(grads[1:])
    lengths = _index(lengths)
    spec = _spec(config, values, seed)
    of_values = torch.empty(values.shape, dtype=values.dtype, device=values.device) if needs[0] else None
    of_states = [torch.empty_like(s) if needs[1] else None for s in states]
    of_weights = [torch.empty_like(w) if needs[2] else None for w in weights]
    numbers_of(values.dtype).backward(
        spec,
        view(values, config.batch_first),
        0 if lengths is None else lengths.data_ptr(),
        [w.data_ptr() for w in weights],
        *_pair(states),
        view(output, config.batch_first),
        *_pair(last if config.has_cell_state else last[:1]),
        view(of_values, config.batch_first),
        [g.data_ptr() for g in of_weights if g is not None],
        *_pair(of_states),
        tape,
    )
    return [of_values, *of_states, *of_weights]


def export_gates(
    config: RecurrenceConfig,
    values: Tensor,
    lengths: Tensor | None,
    tape: Any,
    names: Sequence[str],
    sizes: Mapping[str, int],
) -> dict[str, Tensor]:
    """Returns gates and states from a tape: of all `names`, in the cell's order, those that have a size."""
    spec = _spec(config, values, None)
    batch, steps = config.batch_and_steps(values)
    rows = config.num_layers, 2 if config.bidirectional else 1, batch, steps
    found = {name: values.new_empty(*rows, size) for name, size in sizes.items()}
    lengths = _index(lengths)
    addresses = [found[name].data_ptr() if name in found else 0 for name in names]
    numbers_of(values.dtype).export_gates(spec, address(lengths), tape.data_ptr(), addresses)
    return found


def linear(values: Tensor, weight: Tensor, bias: Tensor | None, *, bf16: bool = False) -> Tensor:
    """Returns `values @ weight.T + bias` `(rows, outputs)` for `(rows, features)`. Each sum has a fixed order."""
    return _linear(values, weight, len(weight), bias, across=False, bf16=bf16)


def matmul(values: Tensor, weight: Tensor, *, bf16: bool) -> Tensor:
    """Returns `values @ weight` `(rows, features)` for `(rows, outputs)` and `(outputs, features)`."""
    return _linear(values, weight, weight.shape[1], None, across=True, bf16=bf16)


def _linear(values: Tensor, weight: Tensor, columns: int, bias: Tensor | None, *, across: bool, bf16: bool) -> Tensor:
    values = plain(values.detach())
    weight, bias = contiguous([weight, bias])
    out = values.new_empty(len(values), columns)
    pointers = (address(weight), 0 if bias is None else address(bias), address(out))
    numbers_of(values.dtype).linear(
        address(values),
        values.stride(0),
        (*out.shape, values.shape[1]),
        *pointers,
        torch.get_num_threads(),
        across,
        bf16,
    )
    return out


def outer(grads: Tensor, values: Tensor, *, bf16: bool) -> Tensor:
    """Returns `grads.T @ values` `(outputs, features)` for `(rows, outputs)` and `(rows, features)`."""
    grads, values = plain(grads.detach()), plain(values.detach())
    out = values.new_empty(grads.shape[1], values.shape[1])
    numbers_of(values.dtype).outer(
        address(grads),
        grads.stride(0),
        address(values),
        values.stride(0),
        (len(values), *out.shape),
        address(out),
        torch.get_num_threads(),
        bf16,
    )
    return out


def readable(tensors: Sequence[Tensor]) -> bool:
    """Returns True if all are plain tensors in CPU memory; False if they are not, or if this is not known."""
    return engine is not None and not torch.compiler.is_compiling() and engine.readable(list(tensors))


def tape_size(config: RecurrenceConfig, dtype: torch.dtype, steps: Any, batch: Any) -> Any:
    """Returns how many numbers a call stores for its backward pass at most; steps and batch may be symbols."""

    def size(steps: int, chunk: int) -> int:
        return numbers_of(dtype).tape_size(spec_of(config._replace(chunk=chunk), 1, steps, 1))

    chunk = config.chunk
    if not chunk:
        return steps * batch * size(1, 0)
    per_step = size(2, 2) - size(1, 2)
    return batch * ((steps + chunk - 1) // chunk * (size(1, 1) - per_step) + steps * per_step)


def identify_tapes() -> int:
    """Returns a number that changes with the layout of tapes: compilers store their sizes in caches on disk."""
    if engine is None:
        return 0
    options = [
        RecurrenceConfig(kernel, 5, 3 * (cell.name == "lstm"), 2, True, True, True, 0.0, chunk, False)
        for kernel, cell in enumerate(KERNELS)
        for chunk in (0, 2)
    ]
    sizes = [tape_size(config, dtype, 7, 3) for config in options for dtype in (torch.float32, torch.float64)]
    return zlib.crc32(repr(sizes).encode())


def numbers_of(dtype: torch.dtype) -> Any:
    """Returns the functions of the engine for a number type."""
    return engine.float32 if dtype == torch.float32 else engine.float64


def spec_of(
    config: RecurrenceConfig, batch: int, steps: int, input_size: int, *, seed: int = 0, threads: int = 1
) -> Any:
    """Returns the engine's description of a call."""
    kernel, hidden, projected, layers, bidirectional, bias, _, dropout, chunk, bf16 = config
    sizes = (steps, batch, input_size, hidden, projected, layers, bidirectional, bias)
    return engine.Spec(kernel, *sizes, dropout, seed, threads, chunk, bf16)


def _spec(config: RecurrenceConfig, values: Tensor, seed: Tensor | int | None) -> Any:
    drawn = 0 if seed is None else int(seed)  # None without dropout
    return spec_of(
        config, *config.batch_and_steps(values), values.shape[2], seed=drawn, threads=torch.get_num_threads()
    )


def plain(values: Tensor) -> Tensor:
    """Returns values in memory, with contiguous features."""
    values = materialize(values)
    return values if values.stride(-1) == 1 or values.shape[-1] == 1 else values.contiguous()


def contiguous(tensors: Sequence[Tensor | None]) -> list[Any]:
    """Returns tensors in memory without gaps; None stays None."""
    return [None if t is None else materialize(t.detach()).contiguous() for t in tensors]


def _index(lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else materialize(lengths.cpu().long()).contiguous()


def view(values: Tensor | None, batch_first: bool) -> tuple[int, int, int]:
    """Returns the address and the strides of batch and time; zeros for None."""
    if values is None:
        return 0, 0, 0
    batch, time = (0, 1) if batch_first else (1, 0)
    return values.data_ptr(), values.stride(batch), values.stride(time)


def _pair(states: Sequence[Tensor | None]) -> tuple[int, int]:
    first, second = (*states, None, None)[:2]
    return 0 if first is None else first.data_ptr(), 0 if second is None else second.data_ptr()


TAPES = identify_tapes()
