"""Graph of blank fillers: tokens to scores of the token at each place, from all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.onnx.features import add_tokens
from recurra.onnx.graph import Graph
from recurra.onnx.layers import add_layer
from recurra.onnx.plan import Arrays, Plan
from recurra.tasks.fill.estimator import BlankFiller


def fill(graph: Graph, estimator: BlankFiller) -> Plan:
    """Returns the graph of a blank filler: `scores`, `(batch, time, tokens)`.

    The scores of a place do not depend on the token there.
    """
    network: Any = estimator.network_
    size = network.embedding.num_embeddings
    given = add_tokens(graph, size)
    values = graph.rows(network.embedding.weight, given.values, "embedding")
    states = []
    if network.forwards is not None:
        output, _ = add_layer(graph, network.forwards, values, given.ragged)
        states.append(graph.op("Pad", output, graph.const([0, 1, 0, 0, -1, 0])))  # the state before each step
    if network.backwards is not None:
        output, _ = add_layer(graph, network.backwards, values, given.ragged, reverse=True)
        states.append(graph.op("Pad", output, graph.const([0, -1, 0, 0, 1, 0])))
    context = graph.linear(graph.concat(states, 2), network.combine.weight, network.combine.bias, "combine")
    scores = graph.linear(context, network.embedding.weight, network.bias, "embedding", tied=True)
    graph.output("scores", scores, np.float32, ["batch", "time", size])

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        with estimator._inference() as (network, _):
            context = network(torch.from_numpy(feed["tokens"]), torch.from_numpy(feed["lengths"]))
            return {"scores": network.logits(context).float().numpy()}

    return Plan(graph, given.sample, answer)
