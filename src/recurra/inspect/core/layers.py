"""The recurrent layers of a model, and a context that intercepts their calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from recurra.cells import State
from recurra.errors import UsageError
from recurra.nn import GRU, LSTM, RECURRENT, RNN, Memoryless, Recurrent
from recurra.ops import Stack

Layer = Any
"""A layer of `recurra.nn`, or a recurrent one of `torch.nn`."""

DIRECTIONS = ("forward", "backward")

_BY_MODE = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN, "RNN_RELU": RNN}


@dataclass(frozen=True)
class LayerCall:
    """One call of a recurrent layer.

    Attributes:
        name: name of the layer in the model, such as `"encoder.recurrent"`; `""` if it is the model.
        number: number of earlier calls of this layer.
        stack: cell, sizes, layers and directions.
        weights: flat, in the order of `stack.named_shapes()`.
        values: `(batch, time, features)`.
        lengths: steps of each sequence, `(batch,)`; None if there is no padding.
        states: initial states, each `(layers * directions, batch, size)`; None for zeros.
        real: output `(batch, time, size)` of a layer of `torch.nn`; None for a layer of `recurra.nn`.
    """

    name: str
    number: int
    stack: Stack
    weights: list[Tensor]
    values: Tensor
    lengths: Tensor | None
    states: State | None
    real: Tensor | None = None

    @property
    def part(self) -> str:
        """Name of the call in `Trace.parts`."""
        return self.name if self.number == 0 else f"{self.name} (call {self.number + 1})"

    @property
    def full_lengths(self) -> list[int]:
        """Steps of each sequence; never None."""
        batch, steps = self.values.shape[:2]
        return [steps] * batch if self.lengths is None else self.lengths.tolist()


Serve = Callable[[LayerCall], tuple[Tensor, State]]
"""Returns the output `(batch, time, size)`, 0 in the padding, and the final states of a call."""


def recurrent_layers(model: torch.nn.Module) -> dict[str, Layer]:
    """Returns the recurrent layers of a model by name.

    Raises:
        UsageError: there are none.

    Example:
        >>> import torch
        >>> list(recurrent_layers(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GRU(3, 4))))
        ['1']
    """
    found = {name: layer for name, layer in model.named_modules() if isinstance(layer, (torch.nn.RNNBase, Recurrent))}
    if not found:
        why = ""
        if any(isinstance(m, Memoryless) for m in model.modules()):
            why = " (it was created with cell='none', the baseline without memory)"
        raise UsageError(f"the model has no recurrent layer{why}: there are no gates or states to inspect")
    return found


def as_ours(layer: Layer) -> Any:
    """Returns the layer if it is of `recurra.nn`, else a layer of `recurra.nn` that shares its weights."""
    if isinstance(layer, RECURRENT):
        return layer
    twin = object.__new__(_BY_MODE[layer.mode])  # not copied, because parametrized modules cannot be copied
    twin.__dict__.update(layer.__dict__)
    return twin


@contextmanager
def serving(model: torch.nn.Module, serve: Serve, *, replace: bool = False) -> Iterator[None]:
    """Context in which `serve` handles every call of a recurrent layer in `model`.

    A layer of `torch.nn` still returns its original output, so the model behaves as usual; `serve` gets this output in
    `LayerCall.real`. With `replace`, these layers return the output of `serve` too.
    """
    layers, served = recurrent_layers(model), []
    try:
        for name, layer in layers.items():
            served.append(_Served(name, layer, serve, replace))
        yield
    finally:
        for one in served:
            one.leave()


class _Served:
    """Replacement of the forward method of one layer."""

    def __init__(self, name: str, layer: Layer, serve: Serve, replace: bool) -> None:
        self.name, self.layer, self.serve, self.count = name, layer, serve, 0
        self.ours = as_ours(layer)
        self.real = None if replace or self.ours is layer else layer.forward
        self.before = layer.__dict__.get("forward")  # another replacement may be active
        layer.forward = self
        self.ours.forward = self

    def leave(self) -> None:
        """Restores the layer."""
        del self.layer.forward
        if self.before is not None:
            self.layer.forward = self.before

    def __call__(self, input: Any, hx: Any = None, lengths: Any = None, **other: Any) -> Any:
        hx = other.get("states", hx)  # as `Recurrent` calls it
        first = self.ours.batch_first
        if self.real is not None:
            found = self.real(input, hx)
            self._beside(input, hx, found[0])
            return found
        if isinstance(input, PackedSequence):
            return self.ours.forward_packed(input, hx, lengths)  # calls this method again with a padded batch
        output, last = self._run(input, hx, lengths)
        output = output if first else output.transpose(0, 1)
        if input.dim() == 2:
            output, last = output.squeeze(0 if first else 1), tuple(s.squeeze(1) for s in last)
        return output, last if isinstance(self.ours, Recurrent) else self.ours.pack_state(last)

    def _beside(self, input: Any, hx: Any, real: Any) -> None:
        """Serves a call of a layer of `torch.nn` with its original output."""
        first, lengths = self.ours.batch_first, None
        if isinstance(input, PackedSequence):
            input, lengths = pad_packed_sequence(input, first)
            real, _ = pad_packed_sequence(real, first)
        elif input.dim() == 2:
            real = real.unsqueeze(0 if first else 1)
        self._run(input, hx, lengths, real if first else real.transpose(0, 1))

    def _run(self, input: Tensor, hx: Any, lengths: Any, real: Tensor | None = None) -> tuple[Tensor, State]:
        values, states = input, hx
        if not isinstance(self.ours, Recurrent):
            values, states, lengths = self.ours.prepare(input, hx, lengths)
        values = values if self.ours.batch_first else values.transpose(0, 1)
        lengths = None if lengths is None else torch.as_tensor(lengths)
        number, self.count = self.count, self.count + 1
        stack = self.ours.stack
        weights = [getattr(self.layer, name) for name, _ in stack.named_shapes()]
        return self.serve(LayerCall(self.name, number, stack, weights, values, lengths, states, real))
