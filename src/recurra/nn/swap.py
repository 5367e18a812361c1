"""Gives the recurrent layers of an existing model our engine, in place."""

from __future__ import annotations

from typing import TypeVar

import torch

from .recurrent import GRU, LSTM, RNN

Model = TypeVar("Model", bound=torch.nn.Module)

_OURS: dict[type, type] = {torch.nn.RNN: RNN, torch.nn.GRU: GRU, torch.nn.LSTM: LSTM}


def accelerate(model: Model) -> Model:
    """Turns every `torch.nn.RNN`, `GRU` and `LSTM` in `model` into Recurra's, in place.

    The layers stay the same objects with the same parameters, hooks and names: optimisers, references and
    `state_dict` files keep working. Subclasses of torch's layers are left alone, because they may have
    changed what the layer computes.

    Args:
        model: any module; it may itself be a recurrent layer.

    Returns:
        The same `model`.

    Example:
        >>> import torch, recurra
        >>> model = recurra.accelerate(torch.nn.Sequential(torch.nn.LSTM(5, 8)))
        >>> type(model[0]).__module__.split(".")[0]
        'recurra'
    """
    for module in model.modules():
        if type(module) in _OURS:
            module.__class__ = _OURS[type(module)]
    return model
