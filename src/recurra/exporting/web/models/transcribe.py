"""Transcribers."""

from __future__ import annotations

from typing import Any

from .parts import Described, describe_tokenizer, linear


def describe_transcriber(model: Any) -> Described:
    """Returns the settings and tensors of a transcriber."""
    network = model.network_
    settings = {
        "input": model.encoder_.to_config() | {"frames": network.frames},
        "output": {"kind": "text", "tokenizer": describe_tokenizer(model.text_encoder_)},
        "beam": model.beam_size,
        "lengthBonus": model.length_bonus,
    }
    return Described(settings, {"encoder.recurrent": network.encoder.recurrent}, linear({"head": network.head}))
