"""Graph of taggers: words and their characters, or numbers, to scores and the best tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from recurra.data.batching.words import WordBatch
from recurra.data.encoders.series import SeriesEncoder
from recurra.data.encoders.words import LETTERS
from recurra.nn.crf import Transitions
from recurra.onnx.features import LAST, Input, add_input, add_tokens, last_known
from recurra.onnx.graph import Graph
from recurra.onnx.layers import add_layer, last_hidden, state_sizes
from recurra.onnx.plan import Arrays, Plan, add_states, draw_states, layer_state, named_states, output_states
from recurra.onnx.recurrence import Ragged
from recurra.tasks.tag.estimator import SequenceTagger

from .graph_chain import add_best_path, continued, draw_path, output_path
from .reader import refuse_reader

LONGEST = 6
"""Most characters of a random word."""


def tag(graph: Graph, estimator: SequenceTagger) -> Plan:
    """Returns the graph of a tagger: `scores`, `(batch, time, tags)`, and `labels`, the best tags that are allowed.

    Inputs are the number of each word, `tokens`, and of its characters and their letters, `characters`
    `(batch, time, characters, letters)` with `character_lengths` `(batch, time)`. The metadata `words` has the numbers.
    Without a chain of tags there are `probabilities` too. A model that reads in one direction has states. A chain adds
    `state.path.0`, the score of the best path to each tag, and `state.words.0`, the number of words so far. `labels`
    then are those of the new words on the best path through all words so far. A tagger of numeric sequences has the
    input `x`, as other models of numbers.
    """
    refuse_reader(estimator, "be exported")
    network: Any = estimator.network_
    stack: Any = getattr(network.recurrent, "stack", None)
    stack = None if stack is None or stack.bidirectional else stack
    stream = stack is not None
    tags, chained = len(estimator.classes_), network.chain.learnt or network.chain.constrained
    given, vectors = _add_vectors(graph, estimator, stream)
    sizes, layers = (state_sizes(stack), stack.num_layers) if stack else ({}, 0)
    initial = add_states(graph, sizes, layers, given.ragged.lengths) if stream else None
    output, last = add_layer(graph, network.recurrent, vectors, given.ragged, initial)
    scores = graph.linear(output, network.head.weight, network.head.bias, "head")
    graph.output("scores", scores, np.float32, ["batch", "time", tags])
    chain = {"path": tags, "words": 1} if stream and chained else {}
    if stream:
        output_states(graph, last, sizes)
    if given.last is not None:
        graph.output(f"{LAST}.next", given.last, np.float32, ["batch", estimator.encoder_.features])
    _add_labels(graph, network.chain.decoding if chained else None, scores, given.ragged, chain, tags)

    def sample(rng: np.random.Generator) -> Arrays:
        feed = given.sample(rng)
        feed |= draw_states(rng, sizes, layers, len(feed["lengths"])) | draw_path(rng, chain, len(feed["lengths"]))
        if getattr(network, "spelling", None) is None:
            return feed
        shape = feed["tokens"].shape
        signs = rng.integers(1, network.sign_embedding.num_embeddings, (*shape, LONGEST, 1 + LETTERS))
        return {**feed, "characters": signs, "character_lengths": rng.integers(0, LONGEST + 1, shape)}

    def answer(feed: Mapping[str, Any], found: Mapping[str, Any]) -> Arrays:
        lengths = torch.from_numpy(feed["lengths"])
        with estimator._inference() as (network, _):
            words = "tokens" in feed
            vectors = network.vectors(_word_batch(feed, feed["tokens"].shape)) if words else given.tensor(feed)
            state = layer_state(feed, sizes, layers)
            output, after = network.recurrent(vectors, *([state] if stream else []), lengths=lengths)
            scores = network.head(output)
            own, more = torch.from_numpy(found["scores"]), {}
            if chain:
                own, more = continued(feed, own, network.chain.decoding)
            answers = {"scores": scores.numpy(), "labels": network.chain.decode(own, lengths).numpy(), **more}
            if stream:
                answers |= named_states(after, sizes)
            if given.last is not None:
                answers[f"{LAST}.next"] = last_known(feed, vectors)
            if not chained:
                answers["probabilities"] = network.chain.probabilities(scores, lengths).numpy()
            return answers

    return Plan(graph, sample, answer)


def _add_vectors(graph: Graph, estimator: SequenceTagger, stream: bool) -> tuple[Input, str]:
    """Adds the inputs; returns them, and the vectors of the steps `(batch, time, features)`."""
    network: Any = estimator.network_
    if estimator.encoder_.kind == SeriesEncoder.kind:
        given = add_input(graph, estimator.encoder_, stateful=stream)
        return given, given.values
    given = add_tokens(graph, network.embedding.num_embeddings)
    vectors = [graph.rows(network.embedding.weight, given.values, "embedding")]
    if network.spelling is not None:
        vectors.append(_add_spelling(graph, network, given.values))
    return given, graph.concat(vectors, 2)


def _add_labels(
    graph: Graph, transitions: Transitions | None, scores: str, ragged: Ragged, chain: Mapping[str, int], tags: int
) -> None:
    """Adds the output `labels`; `probabilities` without transitions; and the states of the chain."""
    mask = ragged.mask(graph, graph.size(scores, 1))
    if transitions is None:
        path = graph.op("ArgMax", scores, axis=2, keepdims=0)
        chances = graph.op("Softmax", scores, axis=2)
        zeroed = graph.op("Where", graph.unsqueeze(mask, 2), chances, graph.const(0.0))
        graph.output("probabilities", zeroed, np.float32, ["batch", "time", tags])
    else:
        before = [values[0] for values in add_states(graph, chain, 1, ragged.lengths).values.values()]
        path, forward = add_best_path(graph, scores, mask, transitions, before)
        if chain:
            output_path(graph, forward, before, ragged, chain)
    graph.output("labels", graph.op("Where", mask, path, graph.const(0)), np.int64, ["batch", "time"])


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
