"""Writes a model as one safetensors file that the module recurra-web reads: weights, settings and tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from recurra import nn
from recurra.cells.registry import find
from recurra.errors import UsageError
from recurra.tasks.base import Estimator
from recurra.tasks.many_to_one.classify import SequenceClassifier
from recurra.tasks.many_to_one.estimator import SequenceEstimator

FOLDER = Path(__file__).parent
"""Folder of recurra-web: the modules, their types and engine.wasm."""
VERSION = 1
"""Version of the settings in the metadata."""
LAYERS = (nn.RNN, nn.GRU, nn.LSTM, torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM)


def build(model: Any) -> bytes:
    """Returns the model file of a classifier or regressor of texts or series, or of a recurrent layer.

    Args:
        model: a fitted estimator, or a layer of `recurra.nn` or `torch.nn`.

    Raises:
        UsageError: the model is of another kind.
    """
    if isinstance(model, SequenceEstimator):
        settings, tensors = _estimator(model)
    elif type(model) in LAYERS:
        recurrent, tensors = _recurrent(model)
        inputs = {"kind": "vectors", "features": model.input_size}
        settings = {"task": "layer", "input": inputs, "recurrent": recurrent, "pooling": None, "target": None}
    else:
        what = type(model).__name__
        instead = "network_.recurrent" if isinstance(model, Estimator) else "a layer of the module"
        raise UsageError(
            f"the format web represents classifiers, regressors, and the layers RNN, GRU and LSTM, not {what}; "
            f"export its recurrent layer ({instead}) instead"
        )
    metadata = {"recurra": json.dumps({"version": VERSION, **settings}, ensure_ascii=False)}
    content = {name: tensor.detach().cpu().float().contiguous().clone() for name, tensor in tensors.items()}
    return save(content, metadata)


def _estimator(model: SequenceEstimator) -> tuple[dict[str, Any], dict[str, Tensor]]:
    check_is_fitted(model, "network_")
    network: Any = model.network_
    layer = network.encoder.recurrent
    if type(layer) not in LAYERS:
        raise UsageError(f"the format web represents the cells rnn, gru and lstm, not the layer {type(layer).__name__}")
    recurrent, tensors = _recurrent(layer)
    if network.encoder.embedding is not None:
        tensors["embedding.weight"] = network.encoder.embedding.weight
    for part, module in (("head", network.head), ("score", network.pooling.score)):
        if module is not None:
            tensors |= {f"{part}.weight": module.weight, f"{part}.bias": module.bias}
    settings = {
        "task": model.task,
        "input": _inputs(model.encoder_),
        "recurrent": recurrent,
        "pooling": network.pooling.how,
        "target": _target(model),
    }
    return settings, tensors


def _target(model: Any) -> dict[str, Any]:
    if isinstance(model, SequenceClassifier):
        return {"classes": model.classes_.tolist()}
    return {"mean": model.target_mean_.tolist(), "scale": model.target_scale_.tolist(), "several": model.several_}


def _inputs(encoder: Any) -> dict[str, Any]:
    config = encoder.to_config()
    if encoder.kind == "series":
        return config
    if encoder.kind != "text":
        raise UsageError("the format web represents models of texts and series, not of recordings")
    (content,) = encoder.to_files().values()
    written = json.loads(content)
    tokenizer = {
        "kind": encoder.tokens,
        "vocab": written["model"]["vocab"],
        "merges": written["model"].get("merges"),
        "specials": [token["content"] for token in written["added_tokens"]],
    }
    return {"kind": "text", "tokenizer": tokenizer}


def _recurrent(layer: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Returns the settings of a layer and its weights."""
    weights = dict(layer.named_parameters())
    cell = {"LSTM": "lstm", "GRU": "gru"}.get(layer.mode) or layer.mode.lower()  # RNN_TANH, RNN_RELU
    equations = find(cell.removesuffix("_tanh"))
    settings = {
        "cell": cell,
        "input": layer.input_size,
        "hidden": layer.hidden_size,
        "projected": layer.proj_size,
        "layers": layer.num_layers,
        "bidirectional": layer.bidirectional,
        "bias": layer.bias,
        "gates": list(equations.gates),
        "states": list(equations.states),
        "weights": list(weights),
    }
    return settings, {f"recurrent.{name}": weight for name, weight in weights.items()}
