"""Graphs of the many-to-one tasks: encoder, pooling and head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.nn import Memoryless
from recurra.onnx.features import LAST, add_input, unscaled
from recurra.onnx.frames import add_frames
from recurra.onnx.graph import Graph
from recurra.onnx.layers import add_encoder, add_pooling, state_sizes
from recurra.onnx.plan import (
    Arrays,
    Plan,
    add_states,
    draw_states,
    layer_state,
    named_states,
    output_states,
)
from recurra.tasks.many_to_one.classify import SequenceClassifier
from recurra.tasks.many_to_one.estimator import SequenceEstimator
from recurra.tasks.many_to_one.network import PooledNetwork
from recurra.tasks.many_to_one.regress import SequenceRegressor


def classify(graph: Graph, estimator: SequenceClassifier) -> Plan:
    """Returns the graph of a classifier: `scores` (logits), `probabilities` and `labels` (numbers of the classes)."""
    plan, scores = _pooled(graph, estimator)
    classes = len(estimator.classes_)
    graph.output("scores", scores, np.float32, ["batch", classes])
    graph.output("probabilities", graph.op("Softmax", scores, axis=1), np.float32, ["batch", classes])
    graph.output("labels", graph.op("ArgMax", scores, axis=1, keepdims=0), np.int64, ["batch"])
    inner = plan.answer

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        answers = inner(feed, found)
        probabilities = estimator._answers(answers["scores"])
        return {**answers, "probabilities": probabilities, "labels": found["scores"].argmax(1)}

    plan.answer = answer
    return plan


def regress(graph: Graph, estimator: SequenceRegressor) -> Plan:
    """Returns the graph of a regressor: `scores`, `(batch, targets)` in the unit of the targets."""
    plan, outputs = _pooled(graph, estimator)
    mean, scale = estimator.target_mean_, estimator.target_scale_
    graph.output("scores", unscaled(graph, outputs, mean, scale), np.float32, ["batch", len(mean)])
    plan.scale["scores"] = float(np.abs(scale).max())
    inner = plan.answer

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        answers = inner(feed, found)
        return {**answers, "scores": estimator._answers(answers["scores"]).astype(np.float32)}

    plan.answer = answer
    return plan


def _pooled(graph: Graph, estimator: SequenceEstimator) -> tuple[Plan, str]:
    """Returns a plan without the outputs of the task, and the output of the network."""
    network: Any = estimator.network_
    layer, stream = network.encoder.recurrent, _streams(network)
    given = add_input(graph, estimator.encoder_, stateful=stream)
    values, ragged = given.values, given.ragged
    if network.frames:
        values, ragged = add_frames(graph, network.frames, values, ragged)
    sizes = state_sizes(layer.stack) if stream else {}
    count = layer.stack.num_layers if stream else 0
    initial = add_states(graph, sizes, count, ragged.lengths) if stream else None
    output, last, states = add_encoder(graph, network.encoder, values, ragged, initial)
    pooled = add_pooling(graph, network.pooling, output, last, ragged)
    if stream:
        output_states(graph, states, sizes)
    if given.last is not None:
        graph.output(f"{LAST}.next", given.last, np.float32, ["batch", estimator.encoder_.features])

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        return {**feed, **draw_states(rng, sizes, count, len(feed["lengths"]))}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        values, lengths = given.tensor(feed), torch.from_numpy(feed["lengths"])
        with estimator._inference() as (network, device):
            if not stream:
                return {"scores": network(values.to(device), lengths).float().cpu().numpy()}
            if network.encoder.embedding is not None:
                values = network.encoder.embedding(values)
            output, after = network.encoder.recurrent(values, layer_state(feed, sizes, count), lengths=lengths)
            top = (after[0] if isinstance(after, tuple) else after)[-1]
            scores = network.head(network.pooling(output, top, lengths)).float().numpy()
            known = {} if given.last is None else {f"{LAST}.next": _last_known(feed, values)}
            return {"scores": scores, **named_states(after, sizes), **known}

    return Plan(graph, sample, answer), graph.linear(pooled, network.head.weight, network.head.bias, "head")


def _streams(network: PooledNetwork) -> bool:
    """Returns whether the states of the layers are all that a chunk of a sequence needs from the chunks before it."""
    layer = network.encoder.recurrent
    one_way = not isinstance(layer, Memoryless) and not layer.stack.bidirectional
    return one_way and network.pooling.how == "last" and not network.frames


def _last_known(feed: Mapping[str, Any], values: Tensor) -> np.ndarray:
    """Returns the last known values, scaled; those of the feed for an empty sequence."""
    features, ends = feed["x"].shape[2], feed["lengths"] - 1
    found = values.numpy()[np.arange(len(ends)), np.maximum(ends, 0), :features]
    return np.where(ends[:, None] >= 0, found, feed[LAST])
