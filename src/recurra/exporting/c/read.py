"""Reads the contents of the C file from a model, or refuses the model in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted

from recurra.errors import UsageError
from recurra.nn import RECURRENT, Memoryless
from recurra.tasks.base import Estimator
from recurra.tasks.forecast.estimator import Forecaster
from recurra.tasks.many_to_one.estimator import SequenceEstimator
from recurra.tasks.many_to_one.series.ensemble import one_network
from recurra.tasks.serving.names import column_names, output_names

from .forecast import read_forecaster
from .plan import Plan, Scaling, title
from .weights import TORCH, layer_of, linear


def read(model: Any) -> Plan:
    """Returns the contents of the C file of a model.

    Raises:
        UsageError: the model cannot run step by step in C; the message says why and what to do instead.
    """
    if isinstance(model, Estimator):
        check_is_fitted(model, "network_")
        module: Any = model.network_
    elif isinstance(model, torch.nn.Module):
        module = model
    else:
        raise UsageError(f"a model is a fitted estimator or a recurrent layer, not {type(model).__name__}")
    if not all(torch.isfinite(weight).all() for weight in module.parameters()):
        raise UsageError("a weight of the model is not a finite number, so the model has no answers to export")
    return _of_estimator(model) if isinstance(model, Estimator) else _of_layer(model)


def _of_estimator(model: Any) -> Plan:
    if isinstance(model, Forecaster):
        return read_forecaster(model)
    if isinstance(model, SequenceEstimator):
        return _of_sequences(model)
    raise UsageError(
        f"the format c is for classifiers, regressors and forecasters of numbers, and for layers, not for the task "
        f"{model.task}; export it as ONNX, or use recurra serve, which runs it step by step"
    )


def _of_sequences(model: Any) -> Plan:
    """Reads a classifier or regressor."""
    encoder = model.encoder_
    if encoder.kind != "series":
        raise UsageError(
            f"the model reads {'texts' if encoder.kind == 'text' else 'recordings'}, but the C file takes numbers; "
            "train on numeric series of features that your device computes step by step"
        )
    network = one_network(model, "a C file")
    cell, layers = layer_of(network.encoder.recurrent)
    inputs = column_names(model) or [f"x{i}" for i in range(encoder.features)]
    pooling = network.pooling
    return Plan(
        title=f"{type(model).__name__}: {title(cell, layers)}, pooling {pooling.how}",
        cell=cell,
        layers=layers,
        inputs=tuple(map(str, inputs)),
        outputs=tuple(output_names(model)),
        task="labels" if model.target_kind == "labels" else model.task,
        scaling=Scaling(encoder.mean, encoder.scale, encoder.masked),
        pooling=pooling.how,
        attention=None if pooling.score is None else linear(pooling.score),
        head=linear(network.head),
        target=(model.target_mean_, model.target_scale_) if model.task == "regress" else None,
    )


def _of_layer(module: torch.nn.Module) -> Plan:
    if not isinstance(module, (*RECURRENT, *TORCH, Memoryless)):
        raise UsageError(
            f"the format c is for one recurrent layer or a fitted estimator, not for a module {type(module).__name__}; "
            "export the layer of the module, and write the rest of the module in C"
        )
    cell, layers = layer_of(module)
    inputs = layers[0].input.values.shape[1]
    plan = Plan(title(cell, layers), cell, layers, tuple(f"x{i}" for i in range(inputs)), ())
    return replace(plan, title=f"layer: {plan.title}", outputs=tuple(f"hidden {i}" for i in range(plan.units)))
