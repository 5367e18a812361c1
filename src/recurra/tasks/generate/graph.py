"""Graph of language models: tokens to scores of the next token at each step, with the state as input and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.onnx.features import add_tokens
from recurra.onnx.graph import Graph
from recurra.onnx.layers import add_layer, state_sizes
from recurra.onnx.plan import (
    Arrays,
    Plan,
    add_states,
    draw_states,
    layer_state,
    named_states,
    output_states,
)
from recurra.tasks.generate.estimator import LanguageModel


def generate(graph: Graph, estimator: LanguageModel) -> Plan:
    """Returns the graph of a language model: `scores`, `(batch, time, tokens)`, of what comes after each step.

    A model that was trained with labels has the input `label`, `(batch,)`: the number of the label counted from 1, 0
    for none.
    """
    network: Any = estimator.network_
    layer: Any = network.recurrent
    stack: Any = getattr(layer, "stack", None)
    sizes, count = (state_sizes(stack), stack.num_layers) if stack else ({}, 0)
    given = add_tokens(graph, network.embedding.num_embeddings)
    values = graph.rows(network.embedding.weight, given.values, "embedding")
    if network.label_embedding is not None:
        label = graph.input("label", np.int64, ["batch"])
        vector = graph.rows(network.label_embedding.weight, label, "label_embedding")
        values = graph.op("Add", values, graph.unsqueeze(vector, 1))
    if network.scale != 1:
        values = graph.op("Mul", values, graph.const(float(network.scale)))
    initial = add_states(graph, sizes, count, given.ragged.lengths) if sizes else None
    output, last = add_layer(graph, layer, values, given.ragged, initial)
    if network.head is not None:
        scores = graph.linear(output, network.head.weight, network.head.bias, "head")
    else:
        output = graph.linear(output, network.bottleneck.weight, network.bottleneck.bias, "bottleneck")
        scores = graph.linear(output, network.embedding.weight, network.bias, "embedding", tied=True)
    graph.output("scores", scores, np.float32, ["batch", "time", network.embedding.num_embeddings])
    if sizes:
        output_states(graph, last, sizes)
    labels = len(estimator.classes_)

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        rows = len(feed["lengths"])
        label = {"label": rng.integers(0, labels + 1, rows)} if labels else {}
        return {**feed, **label, **draw_states(rng, sizes, count, rows)}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        values = torch.from_numpy(feed["tokens"])
        if labels:
            values = torch.stack([values, torch.from_numpy(feed["label"]).unsqueeze(1).expand_as(values)], 2)
        state = layer_state(feed, sizes, count)
        with estimator._inference() as (network, _):
            features, after = network(values, torch.from_numpy(feed["lengths"]), state)
            states = named_states(after, sizes) if sizes else {}
            return {"scores": network.score(features).float().numpy(), **states}

    return Plan(graph, sample, answer)
