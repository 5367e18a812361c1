"""Graphs of translators: source tokens, and the target tokens so far, to scores of the next target tokens.

Separate graphs of the encoder and the decoder let a program decode step by step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.nn import step_mask
from recurra.onnx.features import Input, add_tokens
from recurra.onnx.graph import Graph
from recurra.onnx.layers import LOWEST, add_encoder, add_layer
from recurra.onnx.plan import (
    Arrays,
    Plan,
    add_lengths,
    draw_lengths,
    draw_states,
    layer_state,
    named_states,
    output_states,
)
from recurra.onnx.recurrence import Ragged, States

from .estimator import Translator
from .network import BEGIN, Encoded


def translate(graph: Graph, estimator: Translator) -> Plan:
    """Returns the graph of a translator, for one sentence after the other or a batch.

    `tokens` and `lengths` are the source, `targets` `(batch, target time)` the tokens of the translation so far, of
    which the first is the token 1, [BEGIN]. Outputs are `scores` of the token after each of them, and `weights`, the
    attention to the source, `(batch, target time, time)`. To translate, append the best token until it is 2, [END].
    """
    network: Any = estimator.network_
    given, memory, state = _add_encoder(graph, network)
    targets = graph.input("targets", np.int64, ["batch", "target time"])
    size = network.embedding.num_embeddings
    _add_decoder(graph, network, targets, memory, given.ragged, state)

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        chosen = rng.integers(0, size, (len(feed["lengths"]), int(rng.integers(1, 8))))
        chosen[:, 0] = BEGIN
        return {**feed, "targets": chosen}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        tokens, lengths, targets = (torch.from_numpy(feed[name]) for name in ("tokens", "lengths", "targets"))
        with estimator._inference() as (network, _):
            encoded = network.encode(tokens, lengths)
        scores, weights, _ = _decoded(estimator, encoded, targets)
        return {"scores": scores, "weights": weights}

    return Plan(graph, sample, answer)


def translate_encoder(graph: Graph, estimator: Translator) -> Plan:
    """Returns the graph of the encoder: `tokens` and `lengths` to the decoder's inputs `memory` and states."""
    network: Any = estimator.network_
    given, memory, state = _add_encoder(graph, network)
    graph.output("memory", memory, np.float32, ["batch", "time", _memory_size(network)])
    kept = _state_names(network)
    for name in kept:
        for at, value in enumerate(state.values[name]):
            graph.output(f"state.{name}.{at}", value, np.float32, ["batch", network.hidden_size])

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        with estimator._inference() as (network, _):
            encoded = network.encode(torch.from_numpy(feed["tokens"]), torch.from_numpy(feed["lengths"]))
        states = named_states(encoded.state, kept) if kept else {}
        return {"memory": encoded.values.numpy(), **{name.removesuffix(".next"): part for name, part in states.items()}}

    return Plan(graph, given.sample, answer)


def translate_decoder(graph: Graph, estimator: Translator) -> Plan:
    """Returns the graph of the decoder.

    Inputs are `targets`, the last tokens of the translation so far; `lengths` of the source; and `memory` and the
    states of the encoder. Outputs are `scores` and `weights` as in `translate`, and the states for the next tokens.
    """
    network: Any = estimator.network_
    size, layers = network.embedding.num_embeddings, network.layers
    targets = graph.input("targets", np.int64, ["batch", "target time"])
    ragged = add_lengths(graph)
    memory = graph.input("memory", np.float32, ["batch", "time", _memory_size(network)])
    sizes: dict[str, int] = dict.fromkeys(_state_names(network), int(network.hidden_size))
    state = {
        name: [graph.input(f"state.{name}.{at}", np.float32, ["batch", units]) for at in range(layers)]
        for name, units in sizes.items()
    }
    last = _add_decoder(graph, network, targets, memory, ragged, States(state))
    if sizes:
        output_states(graph, last, sizes)

    def sample(rng: np.random.Generator) -> Arrays:
        lengths = draw_lengths(rng)
        batch, time = len(lengths), int(lengths.max()) + int(rng.integers(0, 2))
        memory = rng.normal(size=(batch, time, _memory_size(network)), scale=0.5).astype(np.float32)
        chosen = rng.integers(0, size, (batch, int(rng.integers(1, 4))))
        states = draw_states(rng, sizes, layers, batch)
        return {"targets": chosen, "lengths": lengths, "memory": memory, **states}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        memory, lengths = torch.from_numpy(feed["memory"]), torch.from_numpy(feed["lengths"])
        keys = memory[..., : network.encoder.output_size]
        encoded = Encoded(keys, memory, step_mask(lengths, memory.shape[1]), layer_state(feed, sizes, layers))
        scores, weights, after = _decoded(estimator, encoded, torch.from_numpy(feed["targets"]))
        return {"scores": scores, "weights": weights, **(named_states(after, sizes) if sizes else {})}

    return Plan(graph, sample, answer)


def _decoded(estimator: Translator, encoded: Encoded, targets: torch.Tensor) -> tuple[np.ndarray, np.ndarray, Any]:
    """Returns the model's scores and weights for target tokens, and the states after them."""
    state, scores, weights = encoded.state, [], []
    with estimator._inference() as (network, _):
        for step in targets.unbind(1):
            score, state, weight = network.step(step, state, encoded)
            scores.append(score)
            weights.append(weight)
    return torch.stack(scores, 1).numpy(), torch.stack(weights, 1).numpy(), state


def _memory_size(network: Any) -> int:
    return network.encoder.output_size + network.encoder.embedding.embedding_dim


def _state_names(network: Any) -> tuple[str, ...]:
    """Returns the names of the decoder's states; a decoder without memory has none."""
    stack = getattr(network.decoder, "stack", None)
    return () if stack is None else stack.cell.states


def _add_encoder(graph: Graph, network: Any) -> tuple[Input, str, States]:
    """Adds the encoder; returns its inputs, its outputs beside the embedded tokens, and the decoder's first state."""
    given = add_tokens(graph, network.encoder.embedding.num_embeddings)
    keys, last, _ = add_encoder(graph, network.encoder, given.values, given.ragged)
    source = graph.rows(network.encoder.embedding.weight, given.values, "embedding")
    return given, graph.concat([keys, source], 2), _add_state(graph, network, last)


def _add_decoder(graph: Graph, network: Any, targets: str, memory: str, ragged: Ragged, state: States) -> States:
    """Adds the decoder over all targets, and the outputs `scores` and `weights`; returns the last states."""
    size = network.embedding.num_embeddings
    vectors = graph.rows(network.embedding.weight, targets, "target_embedding")
    steps = graph.op("Expand", graph.size(targets, 1), graph.size(targets, 0))
    hidden, last = add_layer(graph, network.decoder, vectors, Ragged.of(graph, steps), state)
    keys = graph.slice(memory, 2, 0, network.encoder.output_size)
    weights = _add_attention(graph, network.attention, hidden, keys, ragged)
    features = graph.concat([hidden, graph.op("MatMul", weights, memory)], 2)
    combined = graph.op("Tanh", graph.linear(features, network.combine.weight, network.combine.bias, "combine"))
    scores = graph.linear(combined, network.embedding.weight, network.bias, "target_embedding", tied=True)
    graph.output("scores", scores, np.float32, ["batch", "target time", size])
    graph.output("weights", weights, np.float32, ["batch", "target time", "time"])
    return last


def _add_state(graph: Graph, network: Any, last: str) -> States:
    """Adds the first state of the decoder, from the last state of the encoder."""
    size = network.hidden_size
    bridge = graph.op("Tanh", graph.linear(last, network.bridge.weight, network.bridge.bias, "bridge"))
    parts = [graph.slice(bridge, 1, at * size, (at + 1) * size) for at in range(network.states * network.layers)]
    names = _state_names(network) or ("hidden",)
    return States({name: parts[at * network.layers : (at + 1) * network.layers] for at, name in enumerate(names)})


def _add_attention(graph: Graph, attention: Any, hidden: str, keys: str, ragged: Ragged) -> str:
    """Adds the weights of the source's steps for each target step, `(batch, target time, time)`."""
    queries = graph.linear(hidden, attention.query.weight, None, "query")
    products = graph.op("MatMul", queries, graph.op("Transpose", keys, perm=[0, 2, 1]))
    scores = graph.op("Mul", products, graph.const(1 / math.sqrt(attention.query.out_features)))
    mask = graph.unsqueeze(ragged.mask(graph, graph.size(keys, 1)), 1)
    weights = graph.op("Softmax", graph.op("Where", mask, scores, graph.const(LOWEST)), axis=2)
    return graph.op("Where", mask, weights, graph.const(0.0))  # an empty source has no weights
