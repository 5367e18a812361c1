"""Makes a layer with any cell one call in the graph of `torch.compile`, so that an engine serves it.

torch's compiler cannot follow the tracing of a cell. It takes a call of `run` as it is, and the tools below it run
`run` with tensors without numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from torch import Tensor

from recurra.ops import recurrence

from .dynamo import when_imported

_layers: WeakValueDictionary[int, Any] = WeakValueDictionary()
_numbers = count()


def register(layer: Any) -> int:
    """Returns the number of a layer, which stands for it in a graph."""
    number = next(_numbers)
    _layers[number] = layer
    return number


def run(
    number: int,
    noise: tuple[Any, ...],
    options: Sequence[Any],
    input: Tensor,
    states: tuple[Tensor, ...] | None,
    lengths: Any,
    weights: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Runs a layer; returns its output and states.

    Args:
        number: of the layer, see `register`.
        noise: training or not, and the options of dropout within the recurrence, see `recurra.nn.noise.noisy`.
        options: names and values of the options of `recurrence`.
        input: as in `recurrence`.
        states: as in `recurrence`.
        lengths: as in `recurrence`.
        weights: as in `recurrence`.
    """
    stack = _layers[number].stack_with(*noise)
    output, last = recurrence(
        stack, input, weights, lengths, states, **dict(zip(options[::2], options[1::2], strict=True))
    )
    return output, *last


when_imported("torch._dynamo.decorators", lambda module: module.allow_in_graph(run))
