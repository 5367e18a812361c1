"""Blank fillers."""

from __future__ import annotations

from typing import Any

from recurra.tasks.fill.blanks import word_masks

from .parts import Described, describe_tokenizer, linear


def describe_filler(model: Any) -> Described:
    """Returns the settings and tensors of a blank filler."""
    network, encoder = model.network_, model.encoder_
    tensors = linear({"embedding": network.embedding, "combine": network.combine}) | {"bias": network.bias}
    for name, marks in (("words", False), ("marks", True)):
        tensors[f"allowed.{name}"] = (word_masks(encoder, marks) == 0).float()
    stacks = {"forwards": network.forwards, "backwards": network.backwards}
    settings = {
        "input": {"kind": "text", "tokenizer": describe_tokenizer(encoder)},
        "spans": model.spans_.tolist(),
    }
    return Described(settings, {name: stack for name, stack in stacks.items() if stack is not None}, tensors)
