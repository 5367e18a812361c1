"""Copies layers of torch as layers of Recurra, and back."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch

from recurra.cells import Regularized
from recurra.cells.registry import torch_class
from recurra.errors import UsageError
from recurra.nn.acceleration import accelerate, restore
from recurra.nn.recurrent import Recurrent

Model = TypeVar("Model", bound=torch.nn.Module)


def from_torch(module: Model) -> Model:
    """Copies a layer or model of torch, with layers of `recurra.nn` for its recurrent layers.

    The weights are copied too. `recurra.accelerate` changes a model in place instead.

    Args:
        module: a recurrent layer or cell of `torch.nn`, or a model that contains some.

    Raises:
        UsageError: `module` is no `torch.nn.Module`.

    Example:
        >>> import torch, recurra
        >>> layer = torch.nn.GRU(5, 8)
        >>> ours = recurra.from_torch(layer)
        >>> type(ours).__module__.split(".")[0], torch.equal(ours.weight_hh_l0, layer.weight_hh_l0)
        ('recurra', True)
    """
    return accelerate(copy.deepcopy(module))


def to_torch(module: torch.nn.Module) -> Any:
    """Copies a layer or model with layers of `recurra.nn` as one of `torch.nn`, with the same weights.

    Args:
        module: a recurrent layer or cell of `recurra.nn`, or a model that contains some.

    Returns:
        The copy. A `recurra.nn.Recurrent` with the cell RNN, LSTM or GRU becomes torch's layer too.

    Raises:
        UsageError: `module` is no `torch.nn.Module`, or torch has no layer for a cell.

    Example:
        >>> import torch, recurra
        >>> from recurra import cells, nn
        >>> recurra.to_torch(nn.Recurrent(cells.GRU(), 5, 8, batch_first=True))
        GRU(5, 8, batch_first=True)
    """
    found = restore(copy.deepcopy(module))
    if isinstance(found, Recurrent):
        return _of_torch(found)
    for parent in [*found.modules()]:
        for name, child in [*parent.named_children()]:
            if isinstance(child, Recurrent):
                setattr(parent, name, _of_torch(child))
    return found


def _of_torch(layer: Recurrent) -> torch.nn.RNNBase:
    stack, weights = layer.stack, layer.state_dict()
    cell = stack.cell.cell if isinstance(stack.cell, Regularized) else stack.cell
    kind = torch_class(cell)
    if layer.zoneout:
        raise UsageError("torch has no zoneout; its layers would give other results")
    if not kind:
        raise UsageError(f"torch has no layer for the cell {stack.cell.name!r}; it has RNN, LSTM and GRU")
    weight = next(iter(weights.values()))
    options: dict[str, Any] = {
        "bias": stack.bias,
        "batch_first": layer.batch_first,
        "dropout": layer.dropout,
        "bidirectional": stack.bidirectional,
        "device": weight.device,
        "dtype": weight.dtype,
        **vars(cell),
    }
    made = getattr(torch.nn, kind)(stack.input_size, stack.hidden_size, stack.num_layers, **options)
    made.load_state_dict(weights)
    return made.train(layer.training)
