"""Graphs of the many-to-one tasks: encoder, pooling and head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.nn import Memoryless
from recurra.onnx.features import LAST, add_input, last_known, unscaled
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
from recurra.onnx.pooling import MAX, STEPS, SUM, WEIGHT, add_pooling_steps, draw_pooling, pooling_sizes
from recurra.onnx.recurrence import Ragged, States
from recurra.ops.registry import kernels
from recurra.tasks.many_to_one.classify import SequenceClassifier
from recurra.tasks.many_to_one.estimator import SequenceEstimator
from recurra.tasks.many_to_one.network import PooledNetwork
from recurra.tasks.many_to_one.regress import SequenceRegressor
from recurra.tasks.many_to_one.series.ensemble import one_network
from recurra.tasks.serving.layer import StepPooling


def classify(graph: Graph, estimator: SequenceClassifier) -> Plan:
    """Returns the graph of a classifier: `scores` (logits), `probabilities` and `labels` (numbers of the classes).

    With several labels for each sequence, `labels` is `(batch, classes)` with 1 for each label that a sequence has.
    """
    several = estimator.label_sets_ is not None
    plan, scores = _pooled(graph, estimator)
    classes = len(estimator.classes_)
    graph.output("scores", scores, np.float32, ["batch", classes])
    if several:
        found = graph.cast(graph.op("Greater", scores, graph.const(0.0, np.float32)), np.int64)
        graph.output("probabilities", graph.op("Sigmoid", scores), np.float32, ["batch", classes])
        graph.output("labels", found, np.int64, ["batch", classes])
    else:
        graph.output("probabilities", graph.op("Softmax", scores, axis=1), np.float32, ["batch", classes])
        graph.output("labels", graph.op("ArgMax", scores, axis=1, keepdims=0), np.int64, ["batch"])
    inner = plan.answer

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        answers = inner(feed, found)
        probabilities = estimator._answers(answers["scores"])
        scored = found["scores"]
        labels = (scored > 0).astype(np.int64) if several else scored.argmax(1)
        return {**answers, "probabilities": probabilities, "labels": labels}

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
    network: Any = one_network(estimator, "ONNX")
    stream = _streams(network)
    given = add_input(graph, estimator.encoder_, stateful=stream)
    values, ragged = given.values, given.ragged
    if network.frames:
        values, ragged = add_frames(graph, network.frames, values, ragged)
    pooled, sizes, count, sums = _add_network(graph, network, values, ragged, stream=stream)
    if given.last is not None:
        graph.output(f"{LAST}.next", given.last, np.float32, ["batch", estimator.encoder_.features])

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        batch = len(feed["lengths"])
        drawn = {f"state.{name}.0": value for name, value in draw_pooling(rng, sums, batch).items()}
        return {**feed, **draw_states(rng, sizes, count, batch), **drawn}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        values, lengths = given.tensor(feed), torch.from_numpy(feed["lengths"])
        with estimator._inference() as (network, device):
            if not stream:
                return {"scores": network(values.to(device), lengths).float().cpu().numpy()}
            if network.encoder.embedding is not None:
                values = network.encoder.embedding(values)
            output, after = network.encoder.recurrent(values, layer_state(feed, sizes, count), lengths=lengths)
            hidden = (after[0] if isinstance(after, tuple) else after).transpose(0, 1)
            pooled, more = _pool(network.pooling, feed, output, hidden, lengths)
            known = {} if given.last is None else {f"{LAST}.next": last_known(feed, values)}
            states = named_states(after, sizes) if sizes else {}
            return {"scores": network.head(pooled).float().numpy(), **states, **more, **known}

    return Plan(graph, sample, answer), graph.linear(pooled, network.head.weight, network.head.bias, "head")


def _add_network(
    graph: Graph, network: Any, values: str, ragged: Ragged, *, stream: bool
) -> tuple[str, dict[str, int], int, dict[str, int]]:
    """Adds encoder and pooling, and the states of a stream.

    Returns:
        The pooled outputs; size of each state of a layer by name, and the number of layers; size of each state of the
        pooling by name.
    """
    encoder, pooling = network.encoder, network.pooling
    if not stream:
        output, last, _ = add_encoder(graph, encoder, values, ragged)
        return add_pooling(graph, pooling, output, last, ragged), {}, 0, {}
    stack = getattr(encoder.recurrent, "stack", None)
    sizes, count = (state_sizes(stack), stack.num_layers) if stack else ({}, 0)
    initial = add_states(graph, sizes, count, ragged.lengths) if sizes else None
    output, last, states = add_encoder(graph, encoder, values, ragged, initial)
    sums = pooling_sizes(pooling, encoder.output_size)
    before = {name: value for name, (value,) in add_states(graph, sums, 1, ragged.lengths).values.items()}
    pooled, after = add_pooling_steps(graph, pooling, output, last, ragged, before)
    output_states(graph, states if sizes else States({}), sizes)
    output_states(graph, States({name: [value] for name, value in after.items()}), sums)
    return pooled, sizes, count, sums


def _streams(network: PooledNetwork) -> bool:
    """Returns whether a sequence can arrive in pieces."""
    layer = network.encoder.recurrent
    how = network.pooling.how
    one_way = how != "last" if isinstance(layer, Memoryless) else not layer.stack.bidirectional
    comparable = how != "attention" or kernels.engine is not None  # only the engine pools step by step with attention
    return one_way and comparable and not network.frames


def _pool(pooling: Any, feed: Any, output: Tensor, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Arrays]:
    """Pools new steps with the states of a feed; returns the result and the new states."""
    size = output.shape[2]
    given = {name: torch.from_numpy(feed[f"state.{name}.0"]) for name in pooling_sizes(pooling, size)}
    if pooling.how == "attention":
        packed = torch.cat([given[name] for name in (MAX, WEIGHT, SUM)], 1).double()
        pooled, after = StepPooling(pooling, size).run({"pooling.attention": packed}, output, hidden, lengths)
        after = dict(zip((MAX, WEIGHT, SUM), after["pooling.attention"].split([1, 1, size], 1), strict=True))
    else:
        if MAX in given:
            given[MAX] = given[MAX].masked_fill(given[STEPS] == 0, torch.finfo(torch.float32).min)
        kept = {name: value.flatten().long() if name == STEPS else value for name, value in given.items()}
        pooled, after = StepPooling(pooling, size).run(kept, output, hidden, lengths)
        if MAX in after:
            after[MAX] = after[MAX].masked_fill(after[STEPS].unsqueeze(1) == 0, 0.0)
    return pooled, {
        f"state.{name}.0.next": value.float().reshape(len(value), -1).numpy() for name, value in after.items()
    }
