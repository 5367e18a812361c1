"""Converts the recurrent layers of an existing model to those of recurra.nn in place, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from recurra.errors import UsageError

from .recurrent import GRU, LSTM, RNN
from .step_cells import GRUCell, LSTMCell, RNNCell
from .torch_tools import quantization
from .torch_tools.tooling import OPTIONS

Model = TypeVar("Model", bound=torch.nn.Module)

_OURS: dict[type, type] = {
    getattr(torch.nn, kind.__name__): kind for kind in (RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell)
}
_THEIRS: dict[type, type] = {ours: theirs for theirs, ours in _OURS.items()}
_NAMES = tuple(kind.__name__ for kind in _OURS)
_OWN_ATTRIBUTES = (*OPTIONS, "_fast_layers", "_weight_names")


@dataclass(frozen=True)
class AccelerateReport:
    """Recurrent layers of a model that are Recurra's, and those that are not.

    Attributes:
        accelerated: name of each layer of `recurra.nn` in the model, to the name of its class.
        skipped: name of each other recurrent layer, to the reason why it is not accelerated.

    Example:
        >>> print(AccelerateReport({"encoder": "LSTM"}, {"decoder": "quantized by torch"}))
        accelerated 'encoder': LSTM
        skipped 'decoder': quantized by torch
    """

    accelerated: dict[str, str]
    skipped: dict[str, str]

    def __str__(self) -> str:
        """Returns one line for each layer."""
        lines = [f"accelerated {_label(name)}: {kind}" for name, kind in self.accelerated.items()]
        lines += [f"skipped {_label(name)}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines) or "no recurrent layers"


def accelerate(model: Model) -> Model:
    """Turns every `torch.nn.RNN`, `GRU`, `LSTM` and their cells (`LSTMCell`, …) in `model` into Recurra's, in place.

    The layers stay the same objects with the same parameters, parametrizations, hooks and names: optimisers, references
    and `state_dict` files keep working. Subclasses of torch's layers are skipped with a warning, because they may have
    changed what the layer computes. `recurra.nn.accelerate_report` lists what was replaced and what was skipped, and
    `recurra.restore` undoes it.

    Args:
        model: any module; it may itself be a recurrent layer.

    Returns:
        The same `model`.

    Raises:
        UsageError: `model` is no `torch.nn.Module`.

    Example:
        >>> import torch, recurra
        >>> model = recurra.accelerate(torch.nn.Sequential(torch.nn.LSTM(5, 8)))
        >>> type(model[0]).__module__.split(".")[0]
        'recurra'
    """
    _check_module("accelerate", model)
    for module in model.modules():
        _exchange(module, _OURS)
    _warn("accelerate", accelerate_report(model).skipped)
    return model


def restore(model: Model) -> Model:
    """Turns every layer and cell of `recurra.nn` in `model` that torch has into torch's, in place: undoes `accelerate`.

    Weights, parametrizations, hooks and names stay, so that an optimizer keeps working. The options `engine`, `memory`,
    `precision`, `weight_dropout` and `recurrent_dropout` are lost, and torch's layers take no `lengths`. Subclasses of
    Recurra's layers, and layers with `zoneout`, which torch does not have, are skipped with a warning. `nn.Recurrent`
    stays; `recurra.to_torch` converts it if torch has the cell.

    Args:
        model: any module; it may itself be a recurrent layer.

    Returns:
        The same `model`.

    Raises:
        UsageError: `model` is no `torch.nn.Module`.

    Example:
        >>> import torch, recurra
        >>> model = recurra.accelerate(torch.nn.Sequential(torch.nn.LSTM(5, 8)))
        >>> type(recurra.restore(model)[0]) is torch.nn.LSTM
        True
    """
    _check_module("restore", model)
    skipped = {}
    for name, module in model.named_modules():
        if getattr(module, "zoneout", 0) and isinstance(module, tuple(_THEIRS)):
            skipped[name] = "torch has no zoneout"
        elif _exchange(module, _THEIRS):
            for attribute in _OWN_ATTRIBUTES:
                module.__dict__.pop(attribute, None)
        elif isinstance(module, tuple(_THEIRS)):
            skipped[name] = _subclass(module)
    _warn("restore", skipped)
    return model


def accelerate_report(model: torch.nn.Module) -> AccelerateReport:
    """Returns which recurrent layers of a model are accelerated, and why the others are not.

    Args:
        model: any module, before or after `accelerate`.

    Raises:
        UsageError: `model` is no `torch.nn.Module`.

    Example:
        >>> import torch, recurra
        >>> model = torch.nn.Sequential(torch.nn.LSTM(5, 8), torch.nn.Linear(8, 1))
        >>> print(recurra.nn.accelerate_report(recurra.accelerate(model)))
        accelerated '0': LSTM
    """
    _check_module("accelerate_report", model)
    accelerated, skipped = {}, {}
    for name, module in model.named_modules():
        if isinstance(module, tuple(_THEIRS)):
            accelerated[name] = type_before_parametrizations(module).__name__
        elif reason := _reason(module):
            skipped[name] = reason
    return AccelerateReport(accelerated, skipped)


def _check_module(what: str, model: object) -> None:
    if not isinstance(model, torch.nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise UsageError(f"{what} takes a torch.nn.Module, not {kind}")


def _exchange(module: torch.nn.Module, classes: Mapping[type, type]) -> bool:
    """Replaces the class of a module by its value in `classes`. Returns whether it has one."""
    wanted = classes.get(type_before_parametrizations(module))
    if wanted is None:
        return False
    if is_parametrized(
        module
    ):  # torch makes a class for each of these modules, with its computed weights as properties
        members = {name: value for name, value in vars(type(module)).items() if name not in ("__dict__", "__weakref__")}
        wanted = type(f"Parametrized{wanted.__name__}", (wanted,), members)
    module.__class__ = wanted  # type: ignore[assignment]
    return True


def _reason(module: torch.nn.Module) -> str | None:
    """Returns why a recurrent module is not accelerated; None for other modules."""
    if type_before_parametrizations(module) in _OURS:
        return "recurra.accelerate was not called since it was added"
    if isinstance(module, tuple(_OURS)):
        return _subclass(module)
    if isinstance(module, torch.jit.ScriptModule) and getattr(module, "original_name", "") in _NAMES:
        return "compiled by torch.jit.script; accelerate the model instead of scripting it"
    kind = type(module)
    if kind.__module__.startswith("torch.ao.nn") and kind.__name__ in _NAMES:
        return "quantized by torch"
    return None


def _subclass(module: torch.nn.Module) -> str:
    kind = type_before_parametrizations(module)
    base = next(parent for parent in kind.__mro__ if parent in _OURS or parent in _THEIRS)
    return f"{kind.__name__} is a subclass of {base.__name__}, which may compute something else"


def _warn(what: str, skipped: Mapping[str, str]) -> None:
    if skipped:
        listed = "; ".join(f"{_label(name)}: {reason}" for name, reason in skipped.items())
        warnings.warn(f"{what} skipped {len(skipped)} recurrent layer(s): {listed}", stacklevel=3)


def _label(name: str) -> str:
    return repr(name) if name else "the model itself"


quantization.admit(_THEIRS, lambda module: restore(module))
