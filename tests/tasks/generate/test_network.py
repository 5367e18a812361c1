"""The network of language models by itself: carried state, drawing of tokens, tied weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recurra.data.batching.streams import Streams
from recurra.errors import UsageError
from recurra.tasks.baselines import FEWEST
from recurra.tasks.generate.network import LanguageNetwork, NextToken, check_sampling, draw

TOKENS = 20


def network(**changes):
    torch.manual_seed(0)
    arguments = {"tied": False, "cell": "lstm", "hidden_size": 8, "num_layers": 2, "dropout": 0.0}
    return LanguageNetwork(TOKENS, 6, **{**arguments, "engine": "auto", "memory": "full", **changes}).eval()


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
            figures.append(objective.figures([objective.observe(net, batch) for batch in windows(window)]))
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


def test_the_losses_of_batches_are_compared_only_if_there_are_enough():
    objective, rows = NextToken(np.ones(TOKENS)), [(2.0, 1, 3.0), (4.0, 2, 3.0)]
    for count in range(2, 20):
        found = objective.items((rows * count)[:count])
        if count < FEWEST:
            assert found is None
        else:
            assert found.tolist() == [list(row[:2]) for row in (rows * count)[:count]]
