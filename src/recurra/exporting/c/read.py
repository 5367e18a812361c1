"""Reads the contents of the C file from a model, or refuses the model in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from recurra.cells import RNN
from recurra.cells.registry import is_same, known, name_of
from recurra.errors import UsageError
from recurra.nn import RECURRENT, Memoryless
from recurra.tasks.base import Estimator
from recurra.tasks.many_to_one.estimator import SequenceEstimator

from .plan import Layer, Linear, Matrix, Plan, Scaling

CELLS = ("lstm", "gru", "rnn", "rnn_relu")
TORCH = {torch.nn.LSTM: "lstm", torch.nn.GRU: "gru", torch.nn.RNN: "rnn"}
TITLES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN (tanh)", "rnn_relu": "RNN (relu)", "none": "no memory"}


def read(model: Any) -> Plan:
    """Returns the contents of the C file of a model.

    Raises:
        UsageError: the model cannot run step by step in C; the message says why and what to do instead.
    """
    if isinstance(model, Estimator):
        check_is_fitted(model, "network_")
        found = _of_estimator(model)
    elif isinstance(model, torch.nn.Module):
        found = _of_layer(model)
    else:
        raise UsageError(f"a model is a fitted estimator or a recurrent layer, not {type(model).__name__}")
    found.check()
    return found


def layer_of(module: Any) -> tuple[str, tuple[Layer, ...]]:
    """Returns the name of the cell and the weights of a recurrent layer.

    Raises:
        UsageError: the layer is bidirectional, or its cell has no form in C.
    """
    if isinstance(module, Memoryless):
        parts = [_linear(one) for one in module.layers]
        return "none", tuple(Layer(part.weight, None, part.bias) for part in parts)
    cell = _cell(module)
    options = module.stack if hasattr(module, "stack") else module
    if options.bidirectional:
        raise UsageError(
            "a bidirectional model reads the whole sequence before it answers, so it cannot run step by step in C; "
            "train with --one-direction (bidirectional=False)"
        )
    return cell, tuple(_weights(module, i, cell) for i in range(options.num_layers))


def _of_estimator(model: Any) -> Plan:
    if not isinstance(model, SequenceEstimator):
        raise UsageError(
            f"the format c is for classifiers and regressors of numeric series and for layers, not for the task "
            f"{model.task}; recurra serve runs this model step by step"
        )
    encoder, network = model.encoder_, model.network_
    if encoder.kind != "series":
        raise UsageError(
            f"the model reads {'texts' if encoder.kind == 'text' else 'recordings'}, but the C file takes numbers; "
            "train on numeric series of features that your device computes step by step"
        )
    cell, layers = layer_of(network.encoder.recurrent)
    names = getattr(model, "feature_names_in_", None)
    inputs = [f"x{i}" for i in range(encoder.features)] if names is None else list(names)
    regress = model.task == "regress"
    pooling = network.pooling
    return Plan(
        title=f"{type(model).__name__}: {_title(cell, layers)}, pooling {pooling.how}",
        cell=cell,
        layers=layers,
        inputs=tuple(map(str, inputs)),
        outputs=tuple(_targets(model) if regress else map(str, model.classes_)),
        task=model.task,
        scaling=Scaling(encoder.mean, encoder.scale, encoder.masked),
        pooling=pooling.how,
        attention=None if pooling.score is None else _linear(pooling.score),
        head=_linear(network.head),
        target=(model.target_mean_, model.target_scale_) if regress else None,
    )


def _targets(model: Any) -> list[str]:
    if model.several_:
        return [f"value {i}" for i in range(len(model.target_mean_))]
    return [(model.provenance_.target_column if hasattr(model, "provenance_") else None) or "value"]


def _of_layer(module: torch.nn.Module) -> Plan:
    if not isinstance(module, (*RECURRENT, *TORCH, Memoryless)):
        raise UsageError(
            f"the format c is for one recurrent layer or a fitted estimator, not for a module {type(module).__name__}; "
            "export the layer of the module, and write the rest of the module in C"
        )
    cell, layers = layer_of(module)
    inputs = layers[0].input.values.shape[1]
    plan = Plan(_title(cell, layers), cell, layers, tuple(f"x{i}" for i in range(inputs)), ())
    return replace(plan, title=f"layer: {plan.title}", outputs=tuple(f"hidden {i}" for i in range(plan.units)))


def _title(cell: str, layers: tuple[Layer, ...]) -> str:
    units = len(layers[0].bias) // {"lstm": 4, "gru": 3}.get(cell, 1)
    count = len(layers)
    return f"{TITLES[cell]}, {count} layer{'s' * (count != 1)} of {units} units"


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
    name = name_of(module.stack.cell)
    if name not in CELLS or not is_same(module.stack.cell, known()[name].cell):
        raise UsageError(f"the cell {name} has no form in C; train with one of the cells {', '.join(CELLS)}")
    return name


def _weights(module: Any, i: int, cell: str) -> Layer:
    """Returns the weights of layer `i`."""
    input, hidden = (_matrix(getattr(module, f"weight_{side}_l{i}")) for side in ("ih", "hh"))
    rows = len(input.values)
    first, second = (getattr(module, f"bias_{side}_l{i}", None) for side in ("ih", "hh"))
    bias, past = (np.zeros(rows) if b is None else _numbers(b) for b in (first, second))
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
        None if projection is None else _matrix(projection),
    )


def _linear(module: Any) -> Linear:
    return Linear(_matrix(module.weight), _numbers(module.bias).astype(np.float32))


def _matrix(weight: Tensor) -> Matrix:
    return Matrix(_numbers(weight).astype(np.float32))


def _numbers(weight: Tensor) -> np.ndarray:
    return weight.detach().cpu().double().numpy()
