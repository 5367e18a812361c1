"""Graph of transcribers: spectra to the log-probabilities of tokens, and the tokens of the most probable path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.nn.spec_augment import stacked_length
from recurra.onnx.features import add_input
from recurra.onnx.frames import add_frames
from recurra.onnx.graph import Graph
from recurra.onnx.layers import add_encoder
from recurra.onnx.plan import Arrays, Plan
from recurra.onnx.recurrence import Ragged
from recurra.tasks.transcribe.decode import greedy
from recurra.tasks.transcribe.estimator import Transcriber
from recurra.tasks.transcribe.network import BLANK_ID


def transcribe(graph: Graph, estimator: Transcriber) -> Plan:
    """Returns the graph of a transcriber.

    `x` has logarithms of the energies in mel bands, `(batch, time, bands)`. Outputs are `scores`, log-probabilities
    `(batch, steps, tokens)`; `labels`, the tokens of the most probable path, `(batch, steps)`, -1 after the last one;
    and `label_lengths`, their numbers. A model with a beam gives `labels` without the beam.
    """
    network: Any = estimator.network_
    given = add_input(graph, estimator.encoder_)
    values, ragged = add_frames(graph, network.frames, given.values, given.ragged)
    output, _, _ = add_encoder(graph, network.encoder, values, ragged)
    scores = graph.op("LogSoftmax", graph.linear(output, network.head.weight, network.head.bias, "head"), axis=2)
    graph.output("scores", scores, np.float32, ["batch", "steps", network.head.out_features])
    _add_best_path(graph, scores, ragged)

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        values, lengths = given.tensor(feed), torch.from_numpy(feed["lengths"])
        with estimator._inference() as (network, _):
            scores = network(values, lengths)[0].numpy()
        labels = np.full(scores.shape[:2], -1, np.int64)
        counts = np.zeros(len(labels), np.int64)
        for row, steps in enumerate(stacked_length(feed["lengths"], network.frames).tolist()):
            tokens = greedy(found["scores"][row, :steps], BLANK_ID) if steps else []
            labels[row, : len(tokens)], counts[row] = tokens, len(tokens)
        return {"scores": scores, "labels": labels, "label_lengths": counts}

    return Plan(graph, given.sample, answer)


def _add_best_path(graph: Graph, scores: str, ragged: Ragged) -> None:
    """Adds the outputs `labels` and `label_lengths`."""
    steps = graph.size(scores, 1)
    best = graph.op("ArgMax", scores, axis=2, keepdims=0)
    before = graph.op("Pad", best, graph.const([0, 1, 0, -1]), graph.const(-1))
    changes, spoken = (graph.op("Not", graph.op("Equal", best, other)) for other in (before, graph.const(BLANK_ID)))
    kept = graph.op("And", graph.op("And", changes, spoken), ragged.mask(graph, steps))
    # the kept steps come first, in their order
    place = graph.op("Range", graph.const(0), graph.squeeze(steps, 0), graph.const(1))
    order = graph.op("Where", kept, place, graph.op("Add", place, steps))
    first = graph.ops("TopK", order, steps, outputs=2, axis=1, largest=0, sorted=1)[1]
    tokens = graph.op("GatherElements", best, first, axis=1)
    count = graph.reduce("ReduceSum", graph.cast(kept, np.int64), 1)
    real = graph.op("Less", place, graph.unsqueeze(count, 1))
    graph.output("labels", graph.op("Where", real, tokens, graph.const(-1)), np.int64, ["batch", "steps"])
    graph.output("label_lengths", count, np.int64, ["batch"])
