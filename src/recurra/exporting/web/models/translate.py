"""Translators."""

from __future__ import annotations

from typing import Any

from .parts import Described, describe_tokenizer, linear


def describe_translator(model: Any) -> Described:
    """Returns the settings and tensors of a translator."""
    network = model.network_
    modules = {
        "encoder.embedding": network.encoder.embedding,
        "attention.query": network.attention.query,
        **{name: getattr(network, name) for name in ("embedding", "bridge", "combine")},
    }
    settings = {
        "input": {"kind": "text", "tokenizer": describe_tokenizer(model.source_encoder_)},
        "output": {"kind": "text", "tokenizer": describe_tokenizer(model.target_encoder_)},
        "limit": list(model.limit_),
        "beam": model.beam_size,
        "lengthPenalty": model.length_penalty,
    }
    stacks = {"encoder.recurrent": network.encoder.recurrent, "decoder": network.decoder}
    return Described(settings, stacks, linear(modules) | {"bias": network.bias})
