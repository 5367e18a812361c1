"""The recurrent layers of a model, and a way to serve their calls differently for a while."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from recurra.cells import State
from recurra.errors import UsageError
from recurra.nn import GRU, LSTM, RECURRENT, RNN, Memoryless, Recurrent
from recurra.ops import Stack

Layer = Any
"""A layer of `recurra.nn`, or a recurrent one of `torch.nn`."""

_BY_MODE = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN, "RNN_RELU": RNN}


@dataclass(frozen=True)
class LayerCall:
    """One call of a recurrent layer.

    Attributes:
        name: where the layer stands in the model, such as `"encoder.recurrent"`; `""` if it is the model.
        number: how many calls of this layer came before.
        stack: cell, sizes, layers and directions.
        weights: flat, in the order of `stack.named_shapes()`.
        values: `(batch, time, features)`.
        lengths: steps of each sequence, `(batch,)`; None when all are full.
        states: initial states, each `(layers * directions, batch, size)`; None for zeros.
        real: for a layer that is not ours: what it really gives, the output `(batch, time, size)`; else None.
    """

    name: str
    number: int
    stack: Stack
    weights: list[Tensor]
    values: Tensor
    lengths: Tensor | None
    states: State | None
    real: Tensor | None = None


Serve = Callable[[LayerCall], tuple[Tensor, State]]
"""Gives the output `(batch, time, size)`, 0 beyond each length, and the final states of a call."""


def recurrent_layers(model: torch.nn.Module) -> dict[str, Layer]:
    """The recurrent layers of a model by name.

    Raises:
        UsageError: there are none.

    Example:
        >>> import torch
        >>> list(recurrent_layers(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GRU(3, 4))))
        ['1']
    """
    found = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, (torch.nn.RNNBase, Recurrent)) and not isinstance(layer, Memoryless)
    }
    if not found:
        why = ""
        if any(isinstance(m, Memoryless) for m in model.modules()):
            why = " (it was made with cell='none', the baseline without memory)"
        raise UsageError(f"the model has no recurrent layer{why}: there are no gates or states to look at")
    return found


def as_ours(layer: Layer) -> Any:
    """The layer itself if it is ours, else one of ours that shares its weights."""
    if isinstance(layer, RECURRENT):
        return layer
    twin = copy.copy(layer)
    twin.__class__ = _BY_MODE[layer.mode]
    return twin


@contextmanager
def serving(model: torch.nn.Module, serve: Serve, *, replace: bool = False) -> Iterator[None]:
    """While it lasts, every call of a recurrent layer in `model` is served by `serve`.

    A layer that is not ours still gives its own output, so that the model does what it always does; `serve` sees it in
    `LayerCall.real`. With `replace` the model goes on with what `serve` gives there too.
    """
    layers = recurrent_layers(model)
    try:
        for name, layer in layers.items():
            _Served(name, layer, serve, replace)
        yield
    finally:
        for layer in layers.values():
            layer.__dict__.pop("forward", None)


class _Served:
    """Stands in for the forward method of one layer."""

    def __init__(self, name: str, layer: Layer, serve: Serve, replace: bool) -> None:
        self.name, self.layer, self.serve, self.count = name, layer, serve, 0
        self.ours = as_ours(layer)
        self.real = None if replace or self.ours is layer else partial(type(layer).forward, layer)
        layer.forward = self
        if self.ours is not layer:
            self.ours.forward = self

    def __call__(self, input: Any, hx: Any = None, lengths: Any = None, **other: Any) -> Any:
        hx = other.get("states", hx)  # as `Recurrent` calls it
        if isinstance(input, PackedSequence):
            found = self.ours._forward_packed(input, hx, lengths)  # which comes back here with a padded batch
            return found if self.real is None else self.real(input, hx)
        batched = input.dim() == 3
        if isinstance(self.ours, Recurrent):
            values, states = input, hx
        else:
            values, states, lengths = self.ours._arguments(input, hx, lengths)
        first = self.ours.batch_first
        values = values if first else values.transpose(0, 1)
        real = None
        if self.real is not None and lengths is None:
            real = self.real(input, hx)
        output, last = self.serve(self._call(values, lengths, states, real, batched))
        if real is not None:
            return real
        output = output if first else output.transpose(0, 1)
        if not batched:
            output, last = output.squeeze(0 if first else 1), tuple(s.squeeze(1) for s in last)
        return output, last if isinstance(self.ours, Recurrent) else self.ours._pack_state(last)

    def _call(self, values: Tensor, lengths: Any, states: Any, real: Any, batched: bool) -> LayerCall:
        if real is not None:
            real = real[0]
            real = real.unsqueeze(0 if self.ours.batch_first else 1) if not batched else real
            real = real if self.ours.batch_first else real.transpose(0, 1)
        number, self.count = self.count, self.count + 1
        if lengths is not None:
            lengths = torch.as_tensor(lengths)
        return LayerCall(self.name, number, self.ours.stack, self.ours._weights(), values, lengths, states, real)
