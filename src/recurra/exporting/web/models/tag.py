"""Taggers."""

from __future__ import annotations

import json
from typing import Any

from recurra.data.encoders.words import UNKNOWN_ID, UNKNOWN_SIGN, WORDS
from recurra.errors import UsageError
from recurra.tasks.tag.reader import refuse_reader

from .parts import Described, linear, refuse_vectors


def describe_tagger(model: Any) -> Described:
    """Returns the settings and tensors of a tagger."""
    if model.encoder_.kind != "words":
        raise UsageError(
            "a tagger of numeric sequences cannot run in the browser; export it as ONNX, or use recurra serve"
        )
    refuse_reader(model, "be exported")
    network, encoder = model.network_, model.encoder_
    refuse_vectors(encoder)
    tensors = linear({"head": network.head, "embedding": network.embedding, "sign_embedding": network.sign_embedding})
    chain = network.chain
    if chain.learnt or chain.constrained:
        tensors |= {f"chain.{name}": part for name, part in chain.decoding._asdict().items()}
    stacks = {"recurrent": network.recurrent}
    if network.spelling is not None:
        stacks["spelling"] = network.spelling
    written = json.loads(encoder.to_files()[WORDS])
    settings = {
        "input": {
            "kind": "words",
            "characters": encoder.characters,
            "words": {word: number for word, number in written["words"].items() if number != UNKNOWN_ID},
            "signs": {sign: number for sign, number in written["characters"].items() if number != UNKNOWN_SIGN},
        },
        "target": {"classes": model.classes_.tolist(), "scheme": model.scheme_},
    }
    return Described(settings, stacks, tensors)
