"""Parts that the models of several tasks have: recurrent stacks, linear layers and tokenizers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra import nn
from recurra.cells.registry import find
from recurra.data.encoders.running_text import RunningTextEncoder
from recurra.data.encoders.text import TOKENIZER
from recurra.errors import UsageError

LAYERS = (nn.RNN, nn.GRU, nn.LSTM, torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM)


class Described(NamedTuple):
    """A model as a file of recurra-web.

    Attributes:
        settings: what the task needs in addition to the stacks, as JSON.
        stacks: recurrent layers, by the name that `recurra.trace` gives them.
        tensors: other tensors.
    """

    settings: dict[str, Any]
    stacks: dict[str, Any]
    tensors: dict[str, Tensor]


def describe_stack(layer: Any) -> dict[str, Any]:
    """Returns the settings of a recurrent layer.

    Raises:
        UsageError: the engine for the web does not know its cell.
    """
    if type(layer) not in LAYERS:
        raise UsageError(f"the format web represents the cells rnn, gru and lstm, not the layer {type(layer).__name__}")
    if layer.zoneout:
        raise UsageError("the format web has no zoneout; train without it, or export the format onnx")
    cell = {"LSTM": "lstm", "GRU": "gru"}.get(layer.mode) or layer.mode.lower()  # RNN_TANH, RNN_RELU
    equations = find(cell.removesuffix("_tanh"))
    return {
        "cell": cell,
        "input": layer.input_size,
        "hidden": layer.hidden_size,
        "projected": layer.proj_size,
        "layers": layer.num_layers,
        "bidirectional": layer.bidirectional,
        "bias": layer.bias,
        "gates": list(equations.gates),
        "states": list(equations.states),
        "weights": [name for name, _ in layer.named_parameters()],
    }


def linear(modules: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns weights and biases of linear layers and embeddings by their names. None is left out."""
    return {
        f"{name}.{part}": tensor
        for name, module in modules.items()
        if module is not None
        for part, tensor in module.named_parameters()
    }


def refuse_vectors(encoder: Any) -> None:
    """Raises `UsageError` for a model with given word vectors, which are too large for a web page."""
    if getattr(encoder, "vectors", None) is not None:
        raise UsageError("the format web has no word vectors: export as onnx, or train without --vectors (vectors)")


def describe_tokenizer(encoder: Any) -> dict[str, Any]:
    """Returns the settings of the tokenizer of a text encoder."""
    refuse_vectors(encoder)
    written = json.loads(encoder.to_files()[TOKENIZER])
    split = written["pre_tokenizer"]["type"]
    special = [] if encoder.tokenizer.encode_special_tokens else written["added_tokens"]
    running_text = encoder.config_kind == RunningTextEncoder.config_kind
    running = {"bpe": "bytes", "word": "spaced"} if running_text else {}
    return {
        "kind": running.get(encoder.tokens, encoder.tokens),
        "vocab": written["model"]["vocab"],
        "merges": written["model"].get("merges"),
        "specials": [token["content"] for token in special],
        "apart": split == "Sequence" and not running_text,
    }
