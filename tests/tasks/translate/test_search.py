"""The beam search on a network whose scores are known."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.encoders.text import UNKNOWN_ID
from recurra.tasks.translate.network import BEGIN, END
from recurra.tasks.translate.search import COPIES, PHRASE, _allowed, beam_search


class Markov:
    """Stands for a network: scores of the next token depend on the last one, and on the sentence."""

    def __init__(self, scores):
        self.scores = scores

    def encode(self, values, lengths):
        return types.SimpleNamespace(state=values[:, :1].float().unsqueeze(0))

    def step(self, tokens, state, encoded):
        return self.scores[state[0, :, 0].long(), tokens], state, None


def tables(sentences, tokens, seed):
    return 2 * torch.randn(sentences, tokens, tokens, generator=torch.Generator().manual_seed(seed))


def search(scores, limits, beams, penalty=1.0):
    values = torch.arange(len(scores)).unsqueeze(1)
    found = beam_search(
        Markov(scores), values, torch.ones(len(scores)), torch.tensor(limits), beams=beams, length_penalty=penalty
    )
    return [[(h.tokens, h.score) for h in some] for some in found]


def score_of(table, tokens, penalty):
    table = table.log_softmax(-1)
    path = [BEGIN, *tokens, END]
    return float(sum(table[a, b] for a, b in itertools.pairwise(path))) / (len(tokens) + 1) ** penalty


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.6, 1.0]))
def test_wide_beam_finds_all_there_is(seed, penalty):
    scores = tables(2, 5, seed)
    found = search(scores, [3, 2], 14, penalty)
    for table, limit, some in zip(scores, [3, 2], found, strict=True):
        every = [list(t) for n in range(1, limit + 1) for t in itertools.product([3, 4], repeat=n)]
        expected = sorted(((score_of(table, t, penalty), t) for t in every), reverse=True)
        assert [t for t, _ in some] == [t for _, t in expected]
        np.testing.assert_allclose([s for _, s in some], [s for s, _ in expected], rtol=1e-4, atol=1e-5)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_translations_are_valid(seed, beams, limits):
    scores = tables(len(limits), 6, seed)
    together = search(scores, limits, beams)
    for i, some in enumerate(together):
        assert 1 <= len(some) <= beams
        assert [s for _, s in some] == sorted((s for _, s in some), reverse=True)
        assert len({tuple(t) for t, _ in some}) == len(some)
        for tokens, score in some:
            assert 1 <= len(tokens) <= limits[i]
            assert min(tokens) > END
            assert score == pytest.approx(score_of(scores[i], tokens, 1.0), rel=1e-3, abs=1e-4)
            for period in range(1, PHRASE + 1):
                copies = COPIES + 1
                for start in range(len(tokens) - copies * period + 1):
                    part = tokens[start : start + copies * period]
                    assert part != part[:period] * copies


def test_one_beam_is_greedy():
    scores = tables(1, 6, 3)
    allowed = scores.clone()
    allowed[:, :, :2] = -torch.inf
    token, expected = BEGIN, []
    while True:
        row = allowed[0, token].clone()
        row[END] = row[END] if expected else -torch.inf
        token = int(row.argmax())
        if token == END or len(expected) == 3:
            break
        expected.append(token)
    assert search(scores, [3], 1)[0][0][0] == expected


class Counted(Markov):
    """Counts the steps of the search."""

    steps = 0

    def step(self, tokens, state, encoded):
        self.steps += 1
        return super().step(tokens, state, encoded)


def test_the_search_ends_when_every_sentence_has_its_translations():
    scores = torch.full((1, 5, 5), -9.0)
    scores[:, :, END], scores[:, :, 3] = 3.0, 0.0  # a token at first, then the end
    network, values, lengths = Counted(scores), torch.zeros(1, 1, dtype=torch.int64), torch.ones(1)
    (some,) = beam_search(network, values, lengths, torch.tensor([20]), beams=1, length_penalty=1.0)
    assert [h.tokens for h in some] == [[3]]
    assert network.steps == 2


def test_the_search_ends_when_nothing_can_go_on():
    """There is one token, and it may occur three times: no hypothesis is left after four steps."""
    network, values = Counted(torch.zeros(1, 4, 4)), torch.zeros(1, 1, dtype=torch.int64)
    (some,) = beam_search(network, values, torch.ones(1), torch.tensor([20]), beams=4, length_penalty=1.0)
    assert sorted(h.tokens for h in some) == [[3], [3, 3], [3, 3, 3]]
    assert network.steps == 4


# which tokens may come next


def allowed(said, spent=False, tokens=60):
    """The tokens that may follow, for one hypothesis."""
    scores = torch.zeros(1, tokens)
    found = _allowed(scores, torch.tensor([said], dtype=torch.int64).view(1, -1), torch.tensor([spent]))
    assert found[0][found[0].isfinite()].exp().tolist() == pytest.approx([1 / tokens] * int(found.isfinite().sum()))
    return set(found[0].isfinite().nonzero().flatten().tolist())


EVERY = set(range(60)) - {UNKNOWN_ID, BEGIN}


def test_the_end_may_come_after_a_token_and_must_at_the_limit():
    assert allowed([]) == EVERY - {END}
    assert allowed([7]) == EVERY
    assert allowed([7], spent=True) == {END}


@pytest.mark.parametrize("period", [1, 2, 3, 7, 8, 9])
def test_a_phrase_of_up_to_8_tokens_is_repeated_at_most_3_times(period):
    """The last token of a fourth copy may not come. Longer phrases may be repeated."""
    phrase = list(range(10, 10 + period))
    said = [50, *(phrase * 4)[:-1]]
    assert allowed(said) == EVERY - ({phrase[-1]} if period <= 8 else set())
    assert allowed(said[1:]) == allowed(said)  # the repetition may be all that was said
    assert allowed(said[2:]) == EVERY  # one token less is no repetition yet
    assert allowed([*said[:-1], 51]) == EVERY  # nor is another last token
