"""Reads the weights of recurrent and linear layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from recurra.cells import RNN, Regularized
from recurra.cells.registry import is_same, known, name_of
from recurra.errors import UsageError
from recurra.nn import RECURRENT, Memoryless

from .plan import Layer, Linear, Matrix

CELLS = ("lstm", "gru", "rnn", "rnn_relu")
TORCH = {torch.nn.LSTM: "lstm", torch.nn.GRU: "gru", torch.nn.RNN: "rnn"}


def layer_of(module: Any) -> tuple[str, tuple[Layer, ...]]:
    """Returns the name of the cell and the weights of a recurrent layer.

    Raises:
        UsageError: the layer is bidirectional, or its cell has no form in C.
    """
    if isinstance(module, Memoryless):
        parts = [linear(one) for one in module.layers]
        return "none", tuple(Layer(part.weight, None, part.bias) for part in parts)
    cell = _cell(module)
    options = module.stack if hasattr(module, "stack") else module
    if options.bidirectional:
        raise UsageError(
            "a bidirectional model reads the whole sequence before it answers, so it cannot run step by step in C; "
            "train with --one-direction (bidirectional=False)"
        )
    return cell, tuple(_weights(module, i, cell) for i in range(options.num_layers))


def _cell(module: Any) -> str:
    """Returns the name of the cell of a layer."""
    kind = type_before_parametrizations(module)
    if kind in TORCH:
        return name_of(RNN(module.nonlinearity)) if kind is torch.nn.RNN else TORCH[kind]
    if kind not in RECURRENT:
        raise UsageError(
            f"{kind.__name__} may compute something else than its base class, so it has no form in C; "
            "export a layer of recurra.nn or torch.nn itself"
        )
    if module.zoneout:
        raise UsageError("zoneout has no form in C; train without it, or export the format onnx")
    cell = module.stack.cell
    cell = cell.cell if isinstance(cell, Regularized) else cell  # recurrent dropout has no effect after training
    name = name_of(cell)
    if name not in CELLS or not is_same(cell, known()[name].cell):
        raise UsageError(f"the cell {name} has no form in C; train with one of the cells {', '.join(CELLS)}")
    return name


def _weights(module: Any, i: int, cell: str) -> Layer:
    """Returns the weights of layer `i`."""
    input, hidden = (matrix(getattr(module, f"weight_{side}_l{i}")) for side in ("ih", "hh"))
    rows = len(input.values)
    first, second = (getattr(module, f"bias_{side}_l{i}", None) for side in ("ih", "hh"))
    bias, past = (np.zeros(rows) if b is None else numbers(b) for b in (first, second))
    bias_past = None
    if cell == "gru":  # the reset gate multiplies this part
        units = rows // 3
        bias_past, past = past[2 * units :].astype(np.float32), np.append(past[: 2 * units], np.zeros(units))
    projection = getattr(module, f"weight_hr_l{i}", None)
    return Layer(
        input,
        hidden,
        (bias + past).astype(np.float32),
        bias_past,
        None if projection is None else matrix(projection),
    )


def linear(module: Any) -> Linear:
    """Returns the weights of a linear layer."""
    return affine(module.weight, module.bias)


def affine(weight: Tensor, bias: Tensor) -> Linear:
    """Returns a matrix `(outputs, features)` and a bias in float32."""
    return Linear(matrix(weight), numbers(bias).astype(np.float32))


def matrix(weight: Tensor) -> Matrix:
    """Returns a matrix of weights in float32."""
    return Matrix(numbers(weight).astype(np.float32))


def numbers(weight: Tensor) -> np.ndarray:
    """Returns the values of a tensor in double precision."""
    return weight.detach().cpu().double().numpy()
