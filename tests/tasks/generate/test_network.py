"""The network of language models by itself: carried state, drawing of tokens, tied weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recurra.data.batching.batches import IGNORE
from recurra.data.batching.streams import Streams
from recurra.errors import UsageError
from recurra.nn import RecurrentSpec
from recurra.tasks.baselines import FEWEST
from recurra.tasks.generate import network as generate_network
from recurra.tasks.generate.network import (
    LOGITS,
    LanguageNetwork,
    NextToken,
    check_sampling,
    draw,
    most_probable,
    token_losses,
)
from samples import with_spec

TOKENS = 20


def network(**changes):
    torch.manual_seed(0)
    arguments = {"tied": False, "cell": "lstm", "hidden_size": 8, "num_layers": 2, "dropout": 0.0}
    return LanguageNetwork(TOKENS, 6, **with_spec({**arguments, **changes})).eval()


def windows(window: int, streams: int = 2) -> Streams:
    tokens = np.random.default_rng(0).integers(3, TOKENS, 40).astype(np.int32)
    return Streams(np.split(tokens, 8), 1, streams=streams, window=window)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "none"])
@pytest.mark.parametrize("tied", [False, True])
def test_windows_read_with_carried_state_are_the_whole_text(cell, tied):
    net, figures = network(cell=cell, tied=tied), []
    for window in (40, 7, 1):
        objective = NextToken(np.ones(TOKENS))
        with torch.no_grad():
            figures.append(objective.metrics([objective.observe(net, batch) for batch in windows(window)]))
            sums = [objective.loss(net, batch) for batch in windows(window)]
        assert sum(float(s) for s, _ in sums) / sum(float(n) for _, n in sums) == pytest.approx(figures[-1]["loss"])
    assert figures[1]["loss"] == pytest.approx(figures[0]["loss"], rel=1e-6)
    assert figures[2]["loss"] == pytest.approx(figures[0]["loss"], rel=1e-6)
    assert figures[0]["perplexity"] == pytest.approx(math.exp(figures[0]["loss"]))
    assert figures[0]["bits_per_character"] == pytest.approx(figures[0]["loss"] / math.log(2))


def test_state_goes_on_in_training_and_its_gradient_does_not():
    net, objective = network(), NextToken(np.ones(TOKENS))
    first, second = list(windows(10))[:2]
    objective.loss(net, first)[0].backward()
    carried = objective.carried()
    assert not any(s.requires_grad for s in carried)
    net.zero_grad()
    going_on = objective.loss(net, second)[0]
    going_on.backward()  # the graph of the first window is gone: a gradient into it would fail
    fresh = NextToken(np.ones(TOKENS))
    assert fresh.loss(net, second)[0].item() != going_on.item()
    fresh.carry(carried)
    assert fresh.loss(net, second)[0].item() == going_on.item()


def test_validation_does_not_disturb_the_state_of_training():
    net, objective = network(), NextToken(np.ones(TOKENS))
    objective.loss(net, next(iter(windows(10))))
    before = [s.clone() for s in objective.carried()]
    with torch.no_grad():
        for batch in windows(5, streams=1):
            objective.observe(net, batch)
    assert all(torch.equal(a, b) for a, b in zip(before, objective.carried(), strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru", "none"])
def test_step_by_step_is_all_at_once(cell):
    net = network(cell=cell, labels=2)
    values = torch.tensor([[[1, 2], [5, 2], [7, 2]]])
    with torch.inference_mode():
        whole, state = net(values[:, :2], None)
        last, _ = net.step(values[:, 2], state)
        torch.testing.assert_close(last, net(values, None)[0][:, 2])
        other = net(values * torch.tensor([1, 0]), None)[0]
    assert not torch.equal(whole[:, 1], other[:, 1])


# drawing

logits = hnp.arrays(np.float32, 8, elements=st.floats(-20, 20, width=32))
ORDER = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -np.inf], np.float32)


@given(logits, st.integers(0, 99), st.sampled_from([0.0, 1e-9, 0.3, 1.0, 5.0]), st.integers(1, 8), st.floats(0.01, 1))
def test_drawn_tokens_are_among_the_most_probable(logits, seed, temperature, top_k, top_p):
    logits[3] = -np.inf
    found = draw(logits, np.random.default_rng(seed), temperature, top_k, top_p)
    assert found != 3
    better = logits[logits > logits[found]]
    assert len(better) < top_k
    if temperature == 0:
        assert not len(better)
        return
    kept = np.sort(logits.astype(np.float64))[::-1][:top_k]
    weights = np.exp((kept - kept[0]) / temperature)
    assert weights[: len(better)].sum() <= top_p * weights.sum() * (1 + 1e-9) or not len(better)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "allowed"),
    [(1.0, None, None, 5), (0.5, None, None, 5), (1.0, 2, None, 2), (1.0, None, 0.6, 2), (2.0, 3, 0.9, 3)],
)
def test_shares_of_drawn_tokens(temperature, top_k, top_p, allowed):
    random = np.random.default_rng(0)
    found = [draw(ORDER, random, temperature, top_k, top_p) for _ in range(4000)]
    weights = np.exp(ORDER / temperature)
    weights[allowed:] = 0
    np.testing.assert_allclose(np.bincount(found, minlength=6) / 4000, weights / weights.sum(), atol=0.03)


class Chance:
    """A source of chance that gives one number."""

    def __init__(self, number):
        self.number = number

    def random(self):
        return self.number


QUARTERS = np.log(np.array([0.25, 0.125, 0.5, 0.125]))
"""By probability: 2, 0, 1, 3, and they are exact."""


@pytest.mark.parametrize(
    ("chance", "found"),
    [(0.0, 2), (0.49, 2), (0.51, 0), (0.74, 0), (0.76, 1), (0.87, 1), (0.88, 3), (0.9999999, 3), (1.0, 3)],
)
def test_a_chance_is_a_place_among_the_probabilities_in_falling_order(chance, found):
    assert draw(QUARTERS, Chance(chance), 1.0, None, None) == found


@pytest.mark.parametrize(
    ("top_k", "top_p", "last"),
    [
        (1, None, 2), (2, None, 0), (3, None, 1), (4, None, 3), (9, None, 3),
        (None, 0.4, 2), (None, 0.51, 0), (None, 0.74, 0), (None, 0.76, 1), (None, 1.0, 3),
        (2, 0.6, 2), (2, 0.7, 0), (3, 0.999, 1),  # the probabilities of those that top_k leaves
    ],
)  # fmt: skip
def test_the_last_token_that_may_be_drawn(top_k, top_p, last):
    assert draw(QUARTERS, Chance(1 - 1e-12), 1.0, top_k, top_p) == last
    assert draw(QUARTERS, Chance(0.0), 1.0, top_k, top_p) == 2


def test_of_equals_at_the_border_the_smaller_number_is_drawn():
    assert {draw(np.zeros(5), Chance(c), 1.0, 2, None) for c in (0.0, 0.49, 0.51, 0.99)} == {0, 1}


def test_a_temperature_divides_the_logits():
    logits = np.array([0.0, math.log(4.0)])
    assert [draw(logits, Chance(c), 2.0, None, None) for c in (0.66, 0.67)] == [1, 0]  # 2 : 1
    assert [draw(logits, Chance(c), 0.5, None, None) for c in (0.94, 0.95)] == [1, 0]  # 16 : 1
    assert draw(logits, Chance(0.99), 0.0, None, None) == 1


@pytest.mark.parametrize("arguments", [(0, 0.0, 1, 1.0), (1, 5.0, None, None), (0, 1e300, 7, 1e-9)])
def test_the_ends_of_the_ranges_are_allowed(arguments):
    check_sampling(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 1.0, None, None), "length"),
        ((1, -0.5, None, None), "temperature"),
        ((1, math.nan, None, None), "temperature"),
        ((1, math.inf, None, None), "temperature"),
        ((1, 1.0, 0, None), "top_k"),
        ((1, 1.0, None, 0.0), "top_p"),
        ((1, 1.0, None, 1.5), "top_p"),
    ],
)
def test_wrong_sampling(arguments, message):
    with pytest.raises(UsageError, match=message):
        check_sampling(*arguments)


def test_labels_are_hidden_in_a_tenth_of_the_training_texts():
    net = network(labels=3).train()
    tokens = torch.full((4000, 1), 3)
    values = torch.stack([tokens, torch.full_like(tokens, 2)], dim=-1)
    with torch.no_grad():
        vectors = net._embed(values)[:, 0]
        without = net.scale * net.embedding(torch.tensor(3)) + net.scale * net.label_embedding(torch.tensor(0))
    hidden = torch.isclose(vectors, without).all(1).float().mean()
    assert 0.07 < hidden < 0.13
    with torch.no_grad():
        assert not torch.isclose(net.eval()._embed(values)[:, 0], without).all(1).any()


def test_figures_are_exact():
    found = NextToken(np.ones(TOKENS)).metrics([(2.0, 1, 3.0), (4.0, 3, 1.0)])
    assert found == {"loss": 1.5, "perplexity": math.exp(1.5), "bits_per_character": 6.0 / math.log(2) / 4}
    nothing = NextToken(np.ones(TOKENS)).metrics([(2.0, 1, 0.0)])
    assert nothing["bits_per_character"] == 2.0 / math.log(2)
    huge = NextToken(np.ones(TOKENS)).metrics([(701.0, 1, 1.0)])
    assert (huge["loss"], huge["perplexity"]) == (701.0, math.exp(700.0))


def test_losses_are_those_of_each_token_whatever_is_held_at_a_time(monkeypatch):
    net, targets = network(), torch.tensor([[3, IGNORE, 5], [7, 4, IGNORE]])
    with torch.no_grad():
        features = net(torch.tensor([[1, 2, 3], [4, 5, 6]]), None)[0]
        chances = net.score(features).log_softmax(-1)
        expected = [-chances[row, step, targets[row, step]] for row, step in ((0, 0), (0, 2), (1, 0), (1, 1))]
        for held in (1, 3 * TOKENS - 1, 3 * TOKENS, LOGITS):
            monkeypatch.setattr(generate_network, "LOGITS", held)
            torch.testing.assert_close(token_losses(net, features, targets), torch.stack(expected))
        assert token_losses(net, features, torch.full((2, 3), IGNORE)).shape == (0,)


def test_at_most_4_million_scores_are_held_at_a_time():
    rows = []

    class Wide:
        embedding = torch.nn.Embedding(1 << 20, 0)

        def score(self, features):
            rows.append(len(features))
            return torch.zeros(len(features), 3)

    losses = token_losses(Wide(), torch.zeros(9, 2), torch.zeros(9, dtype=torch.int64))
    assert rows == [4, 4, 1]
    torch.testing.assert_close(losses, torch.full((9,), math.log(3)))
    Wide.embedding = torch.nn.Embedding((1 << 22) + 1, 0)
    token_losses(Wide(), torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64))
    assert rows[3:] == [1, 1]


@pytest.mark.parametrize("tied", [False, True])
def test_vectors_begin_with_the_size_that_the_recurrent_layer_wants(tied):
    torch.manual_seed(0)
    net = LanguageNetwork(500, 16, 400, tied=tied, recurrent=RecurrentSpec("gru", 3, dropout=0.4))
    size = 0.25 if tied else 1.0
    assert net.embedding.weight.std().item() == pytest.approx(size, rel=0.03)
    assert net.label_embedding.weight.shape == (401, 16)  # and no label
    assert net.label_embedding.weight.std().item() == pytest.approx(size, rel=0.03)
    with torch.no_grad():
        vectors = net.eval()._embed(torch.tensor([[[3, 2]]]))[0, 0]
        expected = (net.embedding.weight[3] + net.label_embedding.weight[2]) / size
    torch.testing.assert_close(vectors, expected)
    assert net.recurrent.dropout == 0.0
    assert (net.bottleneck is None, net.head is None, net.bias is None) == (not tied, tied, not tied)
    assert network().label_embedding is None


def test_dropout_is_before_each_layer_and_before_the_head():
    net = network(dropout=0.5)
    assert net.recurrent.dropout == 0.5
    net.train()
    torch.manual_seed(0)
    assert 0.4 < (net._embed(torch.ones(100, 10, dtype=torch.int64)) == 0).float().mean() < 0.6
    assert 0.4 < (net._finish(torch.ones(100, 10)) == 0).float().mean() < 0.6
    net.eval()
    assert not (net._finish(torch.ones(100, 10)) == 0).any()


def test_the_losses_of_batches_are_compared_only_if_there_are_enough():
    objective, rows = NextToken(np.ones(TOKENS)), [(2.0, 1, 3.0), (4.0, 2, 3.0)]
    for count in range(2, 20):
        found = objective.items((rows * count)[:count])
        if count < FEWEST:
            assert found is None
        else:
            assert found.tolist() == [list(row[:2]) for row in (rows * count)[:count]]


@pytest.mark.parametrize("k", [1, 3, 10, 50, 399, 400, 500])
def test_most_probable_tokens_of_many(k):
    words = [str(i).encode() for i in range(400)]
    for seed in range(200):
        chances = np.random.default_rng(seed).dirichlet(np.full(400, 0.1)).round(4)  # some are equal, some are 0
        best = [i for i in np.argsort(-chances, kind="stable")[:k] if chances[i] > 0]
        assert most_probable(words, chances, k) == [(str(i), chances[i]) for i in best]
