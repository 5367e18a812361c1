"""Language models."""

from __future__ import annotations

from typing import Any

from .parts import Described, describe_tokenizer, linear


def describe_language_model(model: Any) -> Described:
    """Returns the settings and tensors of a language model."""
    network = model.network_
    names = ("embedding", "label_embedding", "bottleneck", "head")
    tensors = linear({name: getattr(network, name) for name in names})
    if network.bias is not None:
        tensors["bias"] = network.bias
    settings = {
        "input": {"kind": "text", "tokenizer": describe_tokenizer(model.encoder_)},
        "classes": model.classes_.tolist(),
        "documents": model.documents_,
        "scale": network.scale,
    }
    return Described(settings, {"recurrent": network.recurrent}, tensors)
