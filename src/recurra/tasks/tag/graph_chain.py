"""Chain of tags in the graph of a tagger: the best path, and its states where words arrive in pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.nn.crf import Transitions
from recurra.onnx.graph import Graph
from recurra.onnx.plan import Arrays, output_states
from recurra.onnx.recurrence import Ragged, States


def add_best_path(
    graph: Graph, scores: str, mask: str, transitions: Transitions, before: Sequence[str] = ()
) -> tuple[str, str]:
    """Adds Viterbi's algorithm, in double precision as in `recurra.nn`.

    Args:
        graph: the graph.
        scores: `(batch, time, tags)`, of one step at least.
        mask: True where a step is real, `(batch, time)`.
        transitions: scores of the transitions.
        before: score of the best path to each tag `(batch, tags)` and number of words `(batch, 1)`, where words came
            before these.

    Returns:
        The best tags `(batch, time)`, and the score of the best path to each tag of the last step `(batch, tags)`.
    """
    pairs, start, end = (graph.const(part.detach().double().cpu().numpy()) for part in transitions)
    steps = graph.op("Transpose", graph.cast(scores, np.float64), perm=[1, 0, 2])
    real = graph.unsqueeze(graph.op("Transpose", mask, perm=[1, 0]), 2)
    count = graph.size(steps, 0)
    first = start
    if before:
        path, words = before
        sums = graph.op("Add", graph.unsqueeze(graph.cast(path, np.float64), 2), pairs)
        some = graph.op("Greater", words, graph.const(0.0))
        first = graph.op("Where", some, graph.reduce("ReduceMax", sums, 1), start)
    first = graph.op("Add", graph.op("Gather", steps, graph.const(0)), first)
    # one step that is not real follows the last one: a Scan over no step is an error in ONNX Runtime
    end_step = graph.op("And", graph.slice(real, 0, 0, 1), graph.const(np.array(False)))
    rest = graph.concat([graph.slice(steps, 0, 1, count), graph.slice(steps, 0, 0, 1)], 0)
    going = graph.concat([graph.slice(real, 0, 1, count), end_step], 0)
    forward, came_from = graph.ops(
        "Scan", first, rest, going, outputs=2, body=_forward(graph, pairs), num_scan_inputs=2
    )
    label = graph.op("ArgMax", graph.op("Add", forward, end), axis=1, keepdims=1)
    first_label, labels = graph.ops(
        "Scan",
        label,
        came_from,
        going,
        outputs=2,
        body=_backward(graph),
        num_scan_inputs=2,
        scan_input_directions=[1, 1],
        scan_output_directions=[1],
    )
    path = graph.concat([graph.unsqueeze(first_label, 0), graph.slice(labels, 0, 0, -1)], 0)
    return graph.op("Transpose", graph.squeeze(path, 2), perm=[1, 0]), forward


def _forward(graph: Graph, pairs: str) -> Any:
    """Returns one step forward: the best score of a path to each tag, and the tag before it."""
    body = Graph(graph.opset, outer=graph)
    old = body.input("viterbi.old", np.float64, ["batch", "tags"])
    scores = body.input("viterbi.scores", np.float64, ["batch", "tags"])
    real = body.input("viterbi.real", np.bool_, ["batch", 1])
    sums = body.op("Add", body.unsqueeze(old, 2), pairs)
    new = body.op("Add", body.reduce("ReduceMax", sums, 1), scores)
    body.output("viterbi.new", body.op("Where", real, new, old), np.float64, ["batch", "tags"])
    before = body.op("ArgMax", sums, axis=1, keepdims=0)
    body.output("viterbi.before", before, np.int64, ["batch", "tags"])
    return body.build("viterbi.forward")


def _backward(graph: Graph) -> Any:
    """Returns one step backward: from a tag to the one before it."""
    body = Graph(graph.opset, outer=graph)
    label = body.input("viterbi.label", np.int64, ["batch", 1])
    before = body.input("viterbi.came_from", np.int64, ["batch", "tags"])
    real = body.input("viterbi.going", np.bool_, ["batch", 1])
    found = body.op("GatherElements", before, label, axis=1)
    body.output("viterbi.next", body.op("Where", real, found, label), np.int64, ["batch", 1])
    body.output("viterbi.path", label, np.int64, ["batch", 1])
    return body.build("viterbi.backward")


def draw_path(rng: np.random.Generator, chain: Mapping[str, int], batch: int) -> Arrays:
    """Returns scores of paths and numbers of words; some sequences are before the first word."""
    words = rng.integers(0, 3, (batch, 1))
    drawn = {"path": -rng.random((batch, chain.get("path", 1))) * (words > 0), "words": words}
    return {f"state.{name}.0": drawn[name].astype(np.float32) for name in chain}


def continued(feed: Mapping[str, Any], scores: Tensor, transitions: Transitions) -> tuple[Tensor, Arrays]:
    """Returns scores with which decoding begins after the words before, and the new states of the chain."""
    pairs, start, _ = (part.double() for part in transitions)
    path, words = (torch.from_numpy(feed[f"state.{name}.0"]).double() for name in ("path", "words"))
    lengths, scores = torch.from_numpy(feed["lengths"]).unsqueeze(1), scores.double()
    scores[:, 0] += torch.where(words > 0, (path.unsqueeze(2) + pairs).amax(1) - start, 0)
    forward = start + scores[:, 0]
    for step in range(1, scores.shape[1]):
        best = (forward.unsqueeze(2) + pairs).amax(1) + scores[:, step]
        forward = torch.where(step < lengths, best, forward)
    forward = torch.where(lengths > 0, forward - forward.amax(1, keepdim=True), path)
    after = {"path": forward.float(), "words": (words + lengths).float()}
    return scores, {f"state.{name}.0.next": value.numpy() for name, value in after.items()}


def output_path(graph: Graph, forward: str, before: Sequence[str], ragged: Ragged, chain: Mapping[str, int]) -> None:
    """Adds the states of the chain; the best path has the score 0, so that float32 is enough."""
    path, words = before
    shifted = graph.op("Sub", forward, graph.reduce("ReduceMax", forward, 1, keep=True))
    new = graph.op("Where", ragged.some, graph.cast(shifted, np.float32), path)
    count = graph.op("Add", words, graph.cast(graph.unsqueeze(ragged.lengths, 1), np.float32))
    output_states(graph, States({"path": [new], "words": [count]}), chain)
