"""Builds a layer of one level from arrays of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from recurra.cells import Cell
from recurra.cells.registry import torch_class
from recurra.errors import DataError
from recurra.nn import recurrent


def build_layer(cell: Cell, directions: Sequence[Mapping[str, np.ndarray]], *, batch_first: bool) -> Any:
    """Builds a layer with given weights.

    Args:
        cell: its cell.
        directions: for each direction the weights, named and shaped as in `Cell.shapes`.
        batch_first: whether input and output are `(batch, time, features)`.

    Returns:
        A layer of `recurra.nn`, in double precision if a weight is.

    Raises:
        DataError: the weights do not fit together.
    """
    first = directions[0]["weight_ih"]
    hidden = first.shape[0] // len(cell.gates)
    options: dict[str, Any] = {
        "bias": any(name.startswith("bias") for name in directions[0]),
        "batch_first": batch_first,
        "bidirectional": len(directions) == 2,
    }
    kind = torch_class(cell)
    if kind:
        layer = getattr(recurrent, kind)(first.shape[1], hidden, **options, **vars(cell))
    else:
        layer = recurrent.Recurrent(cell, first.shape[1], hidden, **options)
    if first.dtype == np.float64:
        layer.double()
    for suffix, arrays in zip(("", "_reverse"), directions, strict=False):
        for name, array in arrays.items():
            weight = layer.get_parameter(f"{name}_l0{suffix}").detach()
            if weight.shape != array.shape:
                expected = tuple(weight.shape)
                raise DataError(f"the weights do not fit together: {name} has the shape {array.shape}, not {expected}")
            weight.copy_(torch.from_numpy(np.array(array, dtype=first.dtype, order="C")))
    return layer


def reorder(array: np.ndarray, order: Sequence[int], parts: int | None = None) -> np.ndarray:
    """Cuts an array into equal parts along its first axis and joins them in another order.

    Example:
        >>> reorder(np.array([10, 20, 30]), (1, 0, 2)).tolist()
        [20, 10, 30]
    """
    blocks = np.split(array, len(order) if parts is None else parts)
    return np.concatenate([blocks[i] for i in order])
