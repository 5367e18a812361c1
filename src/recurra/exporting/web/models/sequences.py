"""Classifiers, regressors, and single layers."""

from __future__ import annotations

from typing import Any

from recurra.tasks.many_to_one.series.ensemble import one_network

from .parts import Described, describe_tokenizer, linear


def describe_classifier(model: Any) -> Described:
    """Returns the settings and tensors of a classifier."""
    several = {} if model.label_sets_ is None else {"several": True}
    return _described(model, {"classes": model.classes_.tolist(), **several})


def describe_regressor(model: Any) -> Described:
    """Returns the settings and tensors of a regressor."""
    target = {"mean": model.target_mean_.tolist(), "scale": model.target_scale_.tolist(), "several": model.several_}
    return _described(model, target)


def describe_layer(layer: Any) -> Described:
    """Returns the settings and tensors of a recurrent layer."""
    inputs = {"kind": "vectors", "features": layer.input_size}
    return Described({"input": inputs, "pooling": None, "target": None}, {"recurrent": layer}, {})


def _described(model: Any, target: dict[str, Any]) -> Described:
    network = one_network(model, "a model file for JavaScript")
    encoder = network.encoder
    tensors = linear({"head": network.head, "score": network.pooling.score, "embedding": encoder.embedding})
    settings = {"input": _inputs(model.encoder_, network.frames), "pooling": network.pooling.how, "target": target}
    return Described(settings, {"recurrent": encoder.recurrent}, tensors)


def _inputs(encoder: Any, frames: int) -> dict[str, Any]:
    if encoder.kind == "text":
        return {"kind": "text", "tokenizer": describe_tokenizer(encoder)}
    return encoder.to_config() | ({"frames": frames} if frames else {})
