"""Layers over embedded tokens: the same bits as the layer over the vectors, whatever the engine does about them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations

from recurra import nn, ops
from recurra.nn.encoder import run_embedded
from recurra.ops.native import bindings

OPTIONS: dict[str, dict[str, Any]] = {
    "tanh": {},
    "relu": {"nonlinearity": "relu"},
    "gru": {},
    "lstm": {},
    "projection": {"proj_size": 5},
}
KINDS = {"tanh": nn.RNN, "relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM, "projection": nn.LSTM}
native = pytest.mark.skipif(bindings.engine is None, reason="the native engine was not built")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def tensors(found: Any) -> list[torch.Tensor]:
    output, states = found
    return [output, *(states if isinstance(states, tuple) else (states,))]


def build(kind: str = "lstm", vocabulary: int = 30, **options: Any) -> tuple[torch.nn.Embedding, Any]:
    layer = KINDS[kind](7, 17, batch_first=True, **OPTIONS[kind], **options).eval()
    return torch.nn.Embedding(vocabulary, 7, dtype=options.get("dtype")), layer


def draw(batch: int = 20, steps: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and lengths, with empty sequences."""
    return torch.randint(0, 30, (batch, steps), dtype=torch.int32), torch.randint(0, steps + 1, (batch,)) * (batch > 1)


def check(embedding: torch.nn.Embedding, layer: Any, tokens: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
    """Compares the results with those of the layer; returns them."""
    with torch.inference_mode(), ops.batch_invariant():
        found = tensors(run_embedded(embedding, layer, tokens, lengths))
        for one, other in zip(found, tensors(layer(embedding(tokens), lengths=lengths)), strict=True):
            assert torch.equal(one, other)
    return found


@pytest.fixture
def looked_up(monkeypatch):
    """Counts the calls of embeddings, which the engine's own path does without."""
    calls: list[torch.Tensor] = []
    forward = torch.nn.Embedding.forward
    monkeypatch.setattr(
        torch.nn.Embedding, "forward", lambda self, tokens: calls.append(tokens) or forward(self, tokens)
    )
    return calls


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bits_of_the_layer(kind, bidirectional, layers, dtype):
    embedding, layer = build(kind, num_layers=layers, bidirectional=bidirectional, dtype=dtype)
    for batch, steps in ((20, 9), (1, 4), (3, 0), (64, 30), (20, 9)):
        check(embedding, layer, *draw(batch, steps))
    check(embedding, layer, draw()[0], torch.zeros(20, dtype=torch.int64))


@native
def test_a_sequence_has_the_same_bits_in_any_batch(looked_up):
    embedding, layer = build(bidirectional=True)
    tokens, lengths = draw()
    with torch.inference_mode(), ops.batch_invariant():
        whole, _ = run_embedded(embedding, layer, tokens, lengths)
        for group in ([0], [4, 2], [19, 3, 11, 0, 7]):
            assert torch.equal(run_embedded(embedding, layer, tokens[group], lengths[group])[0], whole[group])
    assert not looked_up


@pytest.mark.parametrize("name", ["weight_ih_l0", "bias_ih_l0", "bias_hh_l0", "weight_hh_l0", "embedding"])
def test_every_change_of_a_weight_counts(name):
    embedding, layer = build()
    weight = embedding.weight if name == "embedding" else getattr(layer, name)
    tokens, lengths = draw()
    before = check(embedding, layer, tokens, lengths)
    weight.data[tokens[0, 0] if name == "embedding" else 3] += 1  # torch does not count it
    assert not torch.equal(check(embedding, layer, tokens, lengths)[0], before[0])
    with torch.no_grad():
        weight.copy_(torch.randn(weight.shape))
    check(embedding, layer, tokens, lengths)


def test_several_embeddings_of_one_layer():
    (first, layer), second, large = build(), torch.nn.Embedding(30, 7), torch.nn.Embedding(50, 7)
    for embedding in (first, second, large, first):
        check(embedding, layer, *draw())


@native
def test_values_that_are_not_finite_stay_in_their_sequence(looked_up):
    embedding, layer = build()
    tokens, lengths = torch.arange(30).view(10, 3), torch.full((10,), 3)
    with torch.inference_mode(), ops.batch_invariant():
        before, _ = run_embedded(embedding, layer, tokens, lengths)
        embedding.weight[4], embedding.weight[28] = float("nan"), float("inf")
        for _ in range(2):
            after, _ = run_embedded(embedding, layer, tokens, lengths)
            assert torch.equal(before[[0, 2, 3, 4, 5, 6, 7, 8]], after[[0, 2, 3, 4, 5, 6, 7, 8]])
            assert after[1, 1:].isnan().all()
    assert not looked_up


@native
@pytest.mark.parametrize("vocabulary", [30, 200_000])
def test_a_vocabulary_beyond_the_limit(vocabulary, looked_up):
    embedding, layer = build(vocabulary=vocabulary)
    for _ in range(2):
        check(embedding, layer, *draw())
    assert len(looked_up) == 2  # by the comparison


@native
def test_threads_that_call_one_layer_at_once():
    embedding, layer = build()
    batches = [draw(64, 30) for _ in range(4)] * 8
    expected = [check(embedding, layer, *batch)[0] for batch in batches]

    def run(batch: Any) -> torch.Tensor:
        with torch.inference_mode(), ops.batch_invariant():
            return run_embedded(embedding, layer, *batch)[0]

    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(run, batches), expected, strict=True):
            assert torch.equal(one, other)


def changed(how: str) -> tuple[torch.nn.Embedding, Any, list[Any]]:
    """An embedding and a layer, one of which does more than its class says, and a list of what it saw."""
    embedding, layer = build()
    seen: list[Any] = []
    if how == "hook of the embedding":
        embedding.register_forward_hook(lambda *arguments: seen.append(arguments))
    elif how == "hook of the layer":
        layer.register_forward_pre_hook(lambda *arguments: seen.append(arguments))
    elif how == "method":
        layer.forward = lambda *arguments, **options: (
            seen.append(arguments) or nn.LSTM.forward(layer, *arguments, **options)
        )
    elif how == "norm":
        embedding.max_norm = 0.5
    elif how == "parametrization":
        parametrizations.weight_norm(layer, "weight_ih_l0")
    elif how == "engine":
        layer.engine = "reference"
    return embedding, layer, seen


@pytest.mark.parametrize("how", ["hook of the embedding", "hook of the layer", "method", "norm", "parametrization"])
def test_a_module_that_does_more_than_its_class_is_called(how, looked_up):
    embedding, layer, seen = changed(how)
    tokens, lengths = draw()
    with torch.inference_mode(), ops.batch_invariant():
        run_embedded(embedding, layer, tokens, lengths)
    assert len(looked_up) == 1
    assert len(seen) == (how not in ("norm", "parametrization"))


def test_another_engine(looked_up):
    embedding, layer, _ = changed("engine")
    check(embedding, layer, *draw())
    assert len(looked_up) == 2


def test_gradients_and_training_take_the_usual_way(looked_up):
    embedding, layer = build()
    tokens, lengths = draw()
    with ops.batch_invariant():
        run_embedded(embedding, layer, tokens, lengths)[0].sum().backward()
    assert embedding.weight.grad is not None
    with torch.inference_mode():  # not batch-invariant
        run_embedded(embedding, layer, tokens, lengths)
        with ops.batch_invariant():
            run_embedded(embedding, layer.train(), tokens, lengths)
    assert len(looked_up) == 3


@pytest.mark.parametrize("token", [-1, 30])
def test_a_token_outside_of_the_vocabulary(token):
    embedding, layer = build()
    tokens, lengths = draw()
    tokens[3, 2] = token
    with torch.inference_mode(), ops.batch_invariant(), pytest.raises(IndexError, match="index out of range"):
        run_embedded(embedding, layer, tokens, lengths)
