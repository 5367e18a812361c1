"""Graph of translators: source tokens, and the target tokens so far, to scores of the next target tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.onnx.features import add_tokens
from recurra.onnx.graph import Graph
from recurra.onnx.layers import LOWEST, add_encoder, add_layer
from recurra.onnx.plan import Arrays, Plan
from recurra.onnx.recurrence import Ragged, States

from .estimator import Translator
from .network import BEGIN


def translate(graph: Graph, estimator: Translator) -> Plan:
    """Returns the graph of a translator, for one sentence after the other or a batch.

    `tokens` and `lengths` are the source, `targets` `(batch, target time)` the tokens of the translation so far, of
    which the first is the token 1, [BEGIN]. Outputs are `scores` of the token after each of them, and `weights`, the
    attention to the source, `(batch, target time, time)`. To translate, append the best token until it is 2, [END].
    """
    network: Any = estimator.network_
    given = add_tokens(graph, network.encoder.embedding.num_embeddings)
    targets = graph.input("targets", np.int64, ["batch", "target time"])
    keys, last, _ = add_encoder(graph, network.encoder, given.values, given.ragged)
    source = graph.rows(network.encoder.embedding.weight, given.values, "embedding")
    state = _add_state(graph, network, last)
    size = network.embedding.num_embeddings
    vectors = graph.rows(network.embedding.weight, targets, "target_embedding")
    steps = graph.op("Expand", graph.size(targets, 1), graph.size(targets, 0))
    hidden, _ = add_layer(graph, network.decoder, vectors, Ragged.of(graph, steps), state)
    weights = _add_attention(graph, network.attention, hidden, keys, given.ragged)
    context = graph.op("MatMul", weights, graph.concat([keys, source], 2))
    features = graph.concat([hidden, context], 2)
    combined = graph.op("Tanh", graph.linear(features, network.combine.weight, network.combine.bias, "combine"))
    scores = graph.linear(combined, network.embedding.weight, network.bias, "target_embedding", tied=True)
    graph.output("scores", scores, np.float32, ["batch", "target time", size])
    graph.output("weights", weights, np.float32, ["batch", "target time", "time"])

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        chosen = rng.integers(0, size, (len(feed["lengths"]), int(rng.integers(1, 8))))
        chosen[:, 0] = BEGIN
        return {**feed, "targets": chosen}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        tokens, lengths, targets = (torch.from_numpy(feed[name]) for name in ("tokens", "lengths", "targets"))
        with estimator._inference() as (network, _):
            encoded = network.encode(tokens, lengths)
            state, scores, weights = encoded.state, [], []
            for step in targets.unbind(1):
                score, state, weight = network.step(step, state, encoded)
                scores.append(score)
                weights.append(weight)
            return {"scores": torch.stack(scores, 1).numpy(), "weights": torch.stack(weights, 1).numpy()}

    return Plan(graph, sample, answer)


def _add_state(graph: Graph, network: Any, last: str) -> States:
    """Adds the first state of the decoder, from the last state of the encoder."""
    size = network.hidden_size
    bridge = graph.op("Tanh", graph.linear(last, network.bridge.weight, network.bridge.bias, "bridge"))
    parts = [graph.slice(bridge, 1, at * size, (at + 1) * size) for at in range(network.states * network.layers)]
    stack = getattr(network.decoder, "stack", None)
    names = ("hidden",) if stack is None else stack.cell.states
    return States({name: parts[at * network.layers : (at + 1) * network.layers] for at, name in enumerate(names)})


def _add_attention(graph: Graph, attention: Any, hidden: str, keys: str, ragged: Ragged) -> str:
    """Adds the weights of the source's steps for each target step, `(batch, target time, time)`."""
    queries = graph.linear(hidden, attention.query.weight, None, "query")
    products = graph.op("MatMul", queries, graph.op("Transpose", keys, perm=[0, 2, 1]))
    scores = graph.op("Mul", products, graph.const(1 / math.sqrt(attention.query.out_features)))
    mask = graph.unsqueeze(ragged.mask(graph, graph.size(keys, 1)), 1)
    weights = graph.op("Softmax", graph.op("Where", mask, scores, graph.const(LOWEST)), axis=2)
    return graph.op("Where", mask, weights, graph.const(0.0))  # an empty source has no weights
