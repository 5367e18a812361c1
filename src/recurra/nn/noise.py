"""Recurrent dropout and zoneout as options of layers."""

from __future__ import annotations

from typing import Any

from recurra.cells import Cell, Regularized
from recurra.errors import UsageError


def checked_share(name: str, value: float) -> float:
    """Returns a probability of dropping something; for none an int, because torch.compile traces floats as inputs.

    Raises:
        UsageError: it is not in [0, 1).
    """
    if not 0 <= value < 1:
        raise UsageError(f"{name} must lie in [0, 1), got {value}")
    return value or 0


def set_noise(layer: Any, recurrent_dropout: float, per: str, zoneout: float | tuple[float, float]) -> None:
    """Sets the options of a layer that has its stack already.

    Raises:
        UsageError: a value is out of range, or the cell of the layer cannot have the option.
    """
    layer.recurrent_dropout = checked_share("recurrent_dropout", recurrent_dropout)
    layer.recurrent_dropout_per = per
    both = zoneout if isinstance(zoneout, tuple | list) else (zoneout, zoneout)
    if len(both) != 2:
        raise UsageError(f"zoneout is one probability, or one of the hidden and one of the other states, not {zoneout}")
    hidden, others = (checked_share("zoneout", value) for value in both)
    layer.zoneout = hidden if hidden == others else (hidden, others)
    stack = layer.stack  # a new layer is in training
    stack.cell.masks(stack.hidden_size, proj_size=stack.proj_size)


def noisy(cell: Cell, training: bool, recurrent_dropout: float, per: str, zoneout: float | tuple[float, float]) -> Cell:
    """Returns a cell with recurrent dropout, in training, and zoneout."""
    dropped = recurrent_dropout if training else 0
    if not dropped and not zoneout:
        return cell
    both = zoneout if isinstance(zoneout, tuple) else (zoneout, zoneout)
    return Regularized(cell, dropped, per, both)


def noise_of(layer: Any, *, training: bool | None = None) -> tuple[bool, float, str, float | tuple[float, float]]:
    """Returns the arguments of `noisy` after the cell for a layer."""
    active = layer.training if training is None else training
    return active, layer.recurrent_dropout, layer.recurrent_dropout_per, layer.zoneout
