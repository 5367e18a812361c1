"""Graph of taggers: words and their characters to scores and the best tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.data.batching.words import WordBatch
from recurra.data.encoders.words import LETTERS
from recurra.nn.crf import Transitions
from recurra.onnx.features import add_tokens
from recurra.onnx.graph import Graph
from recurra.onnx.layers import add_layer, last_hidden
from recurra.onnx.plan import Arrays, Plan
from recurra.onnx.recurrence import Ragged
from recurra.tasks.tag.estimator import SequenceTagger

LONGEST = 6
"""Most characters of a random word."""


def tag(graph: Graph, estimator: SequenceTagger) -> Plan:
    """Returns the graph of a tagger: `scores`, `(batch, time, tags)`, and `labels`, the best tags that are allowed.

    Inputs are the number of each word, `tokens`, and of its characters and their letters, `characters`
    `(batch, time, characters, letters)` with `character_lengths` `(batch, time)`. The metadata `words` has the numbers.
    Without a chain of tags there are `probabilities` too.
    """
    network: Any = estimator.network_
    tags, chained = len(estimator.classes_), network.chain.learnt or network.chain.constrained
    given = add_tokens(graph, network.embedding.num_embeddings)
    vectors = [graph.rows(network.embedding.weight, given.values, "embedding")]
    if network.spelling is not None:
        vectors.append(_add_spelling(graph, network, given.values))
    output, _ = add_layer(graph, network.recurrent, graph.concat(vectors, 2), given.ragged)
    scores = graph.linear(output, network.head.weight, network.head.bias, "head")
    mask = given.ragged.mask(graph, graph.size(scores, 1))
    graph.output("scores", scores, np.float32, ["batch", "time", tags])
    if chained:
        path = add_best_path(graph, scores, mask, network.chain.decoding)
    else:
        path = graph.op("ArgMax", scores, axis=2, keepdims=0)
        chances = graph.op("Softmax", scores, axis=2)
        zeroed = graph.op("Where", graph.unsqueeze(mask, 2), chances, graph.const(0.0))
        graph.output("probabilities", zeroed, np.float32, ["batch", "time", tags])
    graph.output("labels", graph.op("Where", mask, path, graph.const(0)), np.int64, ["batch", "time"])

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        if network.spelling is None:
            return feed
        shape = feed["tokens"].shape
        signs = rng.integers(1, network.sign_embedding.num_embeddings, (*shape, LONGEST, 1 + LETTERS))
        return {**feed, "characters": signs, "character_lengths": rng.integers(0, LONGEST + 1, shape)}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        lengths, shape = torch.from_numpy(feed["lengths"]), feed["tokens"].shape
        with estimator._inference() as (network, _):
            scores = network(_word_batch(feed, shape))
            own = torch.from_numpy(found["scores"])
            answers = {"scores": scores.numpy(), "labels": network.chain.decode(own, lengths).numpy()}
            if not chained:
                answers["probabilities"] = network.chain.probabilities(scores, lengths).numpy()
            return answers

    return Plan(graph, sample, answer)


def _word_batch(feed: Mapping[str, Any], shape: tuple[int, int]) -> WordBatch:
    """Returns a batch of which every word is another one."""
    words = torch.from_numpy(feed["tokens"]).flatten()
    signs = feed.get("characters", np.zeros((*shape, 1, 1 + LETTERS), np.int64))
    counts = feed.get("character_lengths", np.zeros(shape, np.int64))
    return WordBatch(
        torch.arange(len(words)).reshape(shape),
        torch.from_numpy(feed["lengths"]),
        None,
        words,
        torch.zeros(len(words), dtype=torch.bool),
        torch.from_numpy(signs).flatten(0, 1),
        torch.from_numpy(counts).flatten(),
        torch.arange(shape[0]),
    )


def _add_spelling(graph: Graph, network: Any, tokens: str) -> str:
    """Adds the layer over the characters of each word, `(batch, time, size)`."""
    signs = graph.input("characters", np.int64, ["batch", "time", "characters", 1 + LETTERS])
    counts = graph.input("character_lengths", np.int64, ["batch", "time"])
    flat = graph.op("Reshape", signs, graph.concat([graph.const([-1]), _tail(graph, signs)], 0))
    vectors = graph.reduce("ReduceSum", graph.rows(network.sign_embedding.weight, flat, "sign_embedding"), 2)
    ragged = Ragged.of(graph, graph.reshape(counts, [-1]))
    _, last = add_layer(graph, network.spelling, vectors, ragged)
    spelt = last_hidden(graph, last, 2)
    shape = graph.concat([graph.op("Shape", tokens), graph.const([-1])], 0)
    return graph.op("Reshape", spelt, shape)


def _tail(graph: Graph, signs: str) -> str:
    return graph.concat([graph.size(signs, 2), graph.size(signs, 3)], 0)


def add_best_path(graph: Graph, scores: str, mask: str, transitions: Transitions) -> str:
    """Adds Viterbi's algorithm, in double precision as in `recurra.nn`: the best tags `(batch, time)`.

    Args:
        graph: the graph.
        scores: `(batch, time, tags)`, of one step at least.
        mask: True where a step is real, `(batch, time)`.
        transitions: scores of the transitions.
    """
    pairs, start, end = (graph.const(part.detach().double().cpu().numpy()) for part in transitions)
    steps = graph.op("Transpose", graph.cast(scores, np.float64), perm=[1, 0, 2])
    real = graph.unsqueeze(graph.op("Transpose", mask, perm=[1, 0]), 2)
    count = graph.size(steps, 0)
    first = graph.op("Add", graph.op("Gather", steps, graph.const(0)), start)
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
    return graph.op("Transpose", graph.squeeze(path, 2), perm=[1, 0])


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
