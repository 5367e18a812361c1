"""The chain of tags against enumeration of every path."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra import nn
from recurra.nn import LinearChainCRF, crf
from recurra.nn.crf import FORBIDDEN, Transitions, best_path, log_partition, marginals, path_score


@st.composite
def chains(draw):
    """Scores of a ragged batch, with zero lengths among it, and of the transitions."""
    batch, steps, tags = draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(1, 3))
    lengths = torch.tensor(draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch)))
    random = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    scale = draw(st.sampled_from([0.1, 3.0]))

    def values(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.double) * scale

    scores = values(batch, steps, tags)
    for row, length in zip(scores, lengths.tolist(), strict=True):
        row[length:] = 1e6  # must never be read
    return scores, lengths, Transitions(values(tags, tags), values(tags), values(tags))


def paths(scores, length, transitions):
    """All paths of one sequence with their scores."""
    scores, (pairs, start, end) = scores.tolist(), (part.tolist() for part in transitions)
    for path in itertools.product(range(len(start)), repeat=length):
        score = start[path[0]] + end[path[-1]] if path else 0.0
        score += sum(scores[t][tag] for t, tag in enumerate(path)) + sum(
            pairs[a][b] for a, b in itertools.pairwise(path)
        )
        yield path, torch.tensor(score, dtype=torch.double)


@given(chains())
@settings(max_examples=25)
def test_everything_agrees_with_enumeration(chain):
    scores, lengths, transitions = chain
    totals, chances = log_partition(scores, lengths, transitions), marginals(scores, lengths, transitions)
    best = best_path(scores, lengths, transitions)
    reached = path_score(scores, best, lengths, transitions)
    for i, length in enumerate(lengths.tolist()):
        every = list(paths(scores[i], length, transitions))
        values = torch.stack([score for _, score in every])
        torch.testing.assert_close(totals[i], torch.logsumexp(values, 0))
        torch.testing.assert_close(reached[i], values.max())
        assert best[i, length:].eq(0).all()
        expected = torch.zeros_like(scores[i])
        for (path, _), weight in zip(every, torch.softmax(values, 0), strict=True):
            for t, tag in enumerate(path):
                expected[t, tag] += weight
        torch.testing.assert_close(chances[i], expected)


@given(chains())
@settings(max_examples=20)
def test_marginals_are_the_gradient_of_the_log_partition(chain):
    scores, lengths, transitions = chain
    scores.requires_grad_()
    log_partition(scores, lengths, transitions).sum().backward()
    torch.testing.assert_close(scores.grad, marginals(scores.detach(), lengths, transitions))


@given(chains(), st.data())
@settings(max_examples=30)
def test_loss_sums_over_what_is_not_known(chain, data):
    scores, lengths, transitions = chain
    tags = torch.randint(scores.shape[2], scores.shape[:2], generator=torch.Generator().manual_seed(1))
    hidden = data.draw(st.lists(st.booleans(), min_size=tags.numel(), max_size=tags.numel()))
    tags[torch.tensor(hidden, dtype=torch.bool).view(tags.shape)] = -100
    layer = LinearChainCRF(scores.shape[2], learnt=True).double()
    for name in ("pairs", "start", "end"):
        getattr(layer, name).data.copy_(getattr(transitions, name))
    found = layer.loss(scores, tags, lengths)
    for i, length in enumerate(lengths.tolist()):
        every = list(paths(scores[i], length, transitions))
        fits = [all(t < 0 or t == p for t, p in zip(tags[i].tolist(), path, strict=False)) for path, _ in every]
        values = torch.stack([score for _, score in every])
        expected = torch.logsumexp(values, 0) - torch.logsumexp(values[torch.tensor(fits)], 0)
        torch.testing.assert_close(found[i], expected)


@given(chains(), st.integers(0, 1000), st.booleans())
@settings(max_examples=40)
def test_what_is_not_allowed_is_never_decoded(chain, seed, learnt):
    scores, lengths, _ = chain
    tags = scores.shape[2]
    allowed = torch.rand(tags, tags, generator=torch.Generator().manual_seed(seed)) < 0.5
    allowed |= torch.eye(tags, dtype=torch.bool)  # some path always is
    begins = torch.arange(tags) == seed % tags
    ends = torch.ones(tags, dtype=torch.bool)
    layer = LinearChainCRF(tags, learnt=learnt, allowed=(allowed, begins, ends))
    found = layer.decode(scores.float(), lengths)
    chances = layer.probabilities(scores.float(), lengths)
    for path, chance, length in zip(found.tolist(), chances, lengths.tolist(), strict=True):
        assert all(allowed[a, b] for a, b in itertools.pairwise(path[:length]))
        assert all(begins[tag] for tag in path[: min(length, 1)])
        torch.testing.assert_close(chance[:length].sum(1), torch.ones(length))
        assert chance[length:].eq(0).all()


def test_one_forbidden_step_outweighs_thousands_of_scores():
    scores = torch.zeros(1, 1000, 2)
    scores[0, :, 1] = 50.0
    transitions = Transitions(
        torch.tensor([[0.0, FORBIDDEN], [0.0, 0.0]]), torch.tensor([0.0, FORBIDDEN]), torch.zeros(2)
    )
    assert best_path(scores, torch.tensor([1000]), transitions).eq(0).all()


def test_without_learnt_links_the_loss_is_cross_entropy():
    scores, tags = torch.randn(2, 3, 4), torch.tensor([[1, -100, 2], [3, -1, -100]])
    found = LinearChainCRF(4, learnt=False).loss(scores, tags, torch.tensor([3, 1]))
    expected = [
        torch.nn.functional.cross_entropy(scores[0, [0, 2]], torch.tensor([1, 2]), reduction="sum"),
        torch.nn.functional.cross_entropy(scores[1, :1], torch.tensor([3])),
    ]
    torch.testing.assert_close(found, torch.stack(expected))


@pytest.mark.parametrize("learnt", [True, False])
def test_empty_batches(learnt):
    layer = LinearChainCRF(3, learnt=learnt)
    scores, tags, lengths = torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    assert layer.loss(scores, tags, lengths).tolist() == [0, 0]
    assert layer.decode(scores, lengths).shape == (2, 0)
    assert layer.probabilities(scores, lengths).shape == (2, 0, 3)


@pytest.mark.parametrize("learnt", [True, False])
def test_steps_beyond_the_lengths_are_decoded_as_0(learnt):
    scores = torch.tensor([[[0.0, 1.0, 5.0], [0.0, 2.0, 1.0], [0.0, 0.0, 9.0]]])
    assert LinearChainCRF(3, learnt=learnt).decode(scores, torch.tensor([2])).tolist() == [[2, 1, 0]]


def test_constraints_without_learnt_transitions():
    allowed = torch.rand(3, 3) < 0.5, torch.tensor([True, False, True]), torch.tensor([False, True, True])
    layer = LinearChainCRF(3, learnt=True, allowed=allowed)
    with torch.no_grad():
        layer.pairs.add_(1.0)
    found, expected = layer.without_learnt().decoding, LinearChainCRF(3, learnt=False, allowed=allowed).decoding
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert not LinearChainCRF(3, learnt=True).without_learnt().constrained


@pytest.mark.parametrize(("tags", "sums"), [([[1, 2, 0], [2, 1, 1]], 1), ([[1, 2, 0], [2, -1, 1]], 1),
                                            ([[1, -1, 0], [2, 1, 1]], 2)])  # fmt: skip
def test_where_all_tags_are_known_the_paths_are_summed_once(monkeypatch, tags, sums):
    """Whatever number stands beyond the lengths."""
    calls, before = [], crf.log_partition
    monkeypatch.setattr(crf, "log_partition", lambda *given: calls.append(given) or before(*given))
    LinearChainCRF(3, learnt=True).loss(torch.randn(2, 3, 3), torch.tensor(tags), torch.tensor([3, 1]))
    assert len(calls) == sums


def test_the_probability_of_tags_is_taken_among_those_that_are_allowed():
    """Two tags, the second may not begin: of the four paths of two steps, two are left."""
    allowed = torch.ones(2, 2, dtype=torch.bool), torch.tensor([True, False]), torch.ones(2, dtype=torch.bool)
    scores = torch.tensor([[[0.0, 5.0], [1.0, 3.0]]])
    for learnt in (True, False):
        layer = LinearChainCRF(2, learnt=learnt, allowed=allowed)
        found = layer.log_probability(scores, torch.tensor([[0, 1]]), torch.tensor([2]))
        torch.testing.assert_close(found, torch.tensor([[1.0, 3.0]]).log_softmax(1)[:, 1])
        chances = layer.probabilities(scores, torch.tensor([2]))
        torch.testing.assert_close(
            chances[0], torch.stack([torch.tensor([1.0, 0.0]), torch.tensor([1.0, 3.0]).softmax(0)])
        )
        assert layer.decode(scores, torch.tensor([2])).tolist() == [[0, 1]]


def test_links_begin_at_zero_and_are_stored_only_if_they_are_learnt():
    allowed = torch.eye(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
    for learnt in (True, False):
        for constraint in (None, allowed):
            layer = LinearChainCRF(3, learnt=learnt, allowed=constraint)
            assert sorted(layer.state_dict()) == (["end", "pairs", "start"] if learnt else [])
            assert not any(part.any() for part in layer.transitions)
            assert [tuple(part.shape) for part in layer.transitions] == [(3, 3), (3,), (3,)]
            assert (layer.learnt, layer.constrained) == (learnt, constraint is not None)
            assert len(list(layer.parameters())) == 3 * learnt
    assert layer.decoding.end.tolist() == [FORBIDDEN] * 3
    assert layer.decoding.pairs.tolist() == [[0.0 if a == b else FORBIDDEN for a in range(3)] for b in range(3)]


def test_without_links_the_probabilities_are_those_of_each_step():
    scores = torch.randn(2, 3, 4)
    found = LinearChainCRF(4, learnt=False).probabilities(scores, torch.tensor([3, 1]))
    torch.testing.assert_close(found[0], scores[0].softmax(1))
    torch.testing.assert_close(found[1, :1], scores[1, :1].softmax(1))
    assert not found[1, 1:].any()


def test_earlier_names_still_work():
    with pytest.warns(DeprecationWarning, match="LinearChainCRF"):
        kind = nn.Chain
    layer = kind(3, learnt=True)
    with pytest.warns(DeprecationWarning, match="transitions"):
        assert layer.links.start is layer.start
    with pytest.warns(DeprecationWarning, match="init_recurrent_"):
        assert nn.begin_remembering is nn.init_recurrent_
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        nn.other  # noqa: B018
