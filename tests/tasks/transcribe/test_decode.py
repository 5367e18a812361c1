"""CTC decoding against the enumeration of every path."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.tasks.transcribe.decode import align, beam_search, greedy, needed_steps


def spelled(path, blank):
    return tuple(token for token, _ in groupby(path) if token != blank)


def random_log_probs(seed, steps, tokens):
    logits = np.random.default_rng(seed).normal(scale=1.5, size=(steps, tokens))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def every_path(log_probs):
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        yield path, log_probs[np.arange(len(path)), path].sum()


sizes = {"steps": st.integers(1, 5), "tokens": st.integers(2, 3)}


def tiny(test):
    return settings(max_examples=50)(given(seed=st.integers(0, 10**6), blank=st.integers(0, 1), **sizes)(test))


@tiny
def test_a_beam_of_everything_finds_the_most_probable_tokens(seed, steps, tokens, blank):
    log_probs = random_log_probs(seed, steps, tokens)
    for bonus in (0.0, 0.7):
        score = defaultdict(float)
        for path, log_p in every_path(log_probs):
            score[spelled(path, blank)] += np.exp(log_p)
        ranked = {labels: np.log(p) + bonus * len(labels) for labels, p in score.items()}
        found = beam_search(log_probs, blank, beam=10**6, length_bonus=bonus, prune=-np.inf)
        assert ranked[tuple(found)] == pytest.approx(max(ranked.values()), abs=1e-9)


@tiny
def test_greedy_spells_the_most_probable_path(seed, steps, tokens, blank):
    log_probs = random_log_probs(seed, steps, tokens)
    best, _ = max(every_path(log_probs), key=lambda item: item[1])
    assert tuple(greedy(log_probs, blank)) == spelled(best, blank)


@tiny
def test_alignment_is_that_of_the_most_probable_path(seed, steps, tokens, blank):
    log_probs = random_log_probs(seed, steps, tokens)
    best = {}
    for path, log_p in every_path(log_probs):
        labels = spelled(path, blank)
        if log_p > best.get(labels, (-np.inf, None))[0]:
            best[labels] = (log_p, path)
    for labels, (_, path) in best.items():
        runs, at = [], 0
        for token, run in groupby(path):
            size = len(list(run))
            runs += [(at, at + size)] if token != blank else []
            at += size
        assert align(log_probs, blank, labels) == runs


@settings(max_examples=30)
@given(st.lists(st.integers(1, 2), max_size=5))
def test_needed_steps_are_enough_and_fewest(tokens):
    need = needed_steps(tokens)
    can = [any(spelled(path, 0) == tuple(tokens) for path in product(range(3), repeat=n)) for n in range(7)]
    assert can == [n >= need for n in range(7)]


def test_a_narrow_beam_is_still_close_and_pruning_changes_little():
    found = 0
    for seed in range(10):
        log_probs = random_log_probs(seed, 9, 5)
        found += beam_search(log_probs, 0, 10) == beam_search(log_probs, 0, 400, prune=-np.inf)
    assert found >= 8


def test_nothing_heard():
    nothing = np.zeros((0, 4))
    assert greedy(nothing, 0) == beam_search(nothing, 0, 4) == align(nothing, 0, []) == []
    certain = np.log(np.array([[1.0, 1e-30, 1e-30]] * 4))
    assert beam_search(certain, 0, 4) == greedy(certain, 0) == []


def test_repeated_tokens_need_a_blank_between():
    log_probs = np.log(np.array([[0.1, 0.9], [0.8, 0.2], [0.1, 0.9]]))
    assert greedy(log_probs, 0) == beam_search(log_probs, 0, 8) == [1, 1]
    assert align(log_probs, 0, [1, 1]) == [(0, 1), (2, 3)]
    with pytest.raises(ValueError, match="2 steps cannot spell 2 tokens"):
        align(log_probs[:2], 0, [1, 1])


@pytest.mark.parametrize(("below", "tried"), [(11.9, True), (12.0, True), (12.1, False)])
def test_tokens_more_than_12_nats_below_the_best_are_not_tried(below, tried):
    """A bonus makes every token that is tried win."""
    assert beam_search(np.array([[0.0, -below]]), 0, 4, length_bonus=100.0) == [1] * tried
    assert beam_search(np.array([[-5.0, -5.0 - below]]), 0, 4, length_bonus=100.0) == [1] * tried


def test_many_tokens():
    """Token numbers and the blank are compared by value, also where Python makes an object for each."""
    log_probs = np.full((3, 400), -50.0)
    log_probs[[0, 1, 2], [390, 399, 390]] = 0.0
    assert greedy(log_probs, 399) == beam_search(log_probs, 399, 4) == [390, 390]
    log_probs[1] = log_probs[0]
    assert greedy(log_probs, 399) == beam_search(log_probs, 399, 4) == [390]
    assert needed_steps(np.array([390, 390]).tolist()) == 3


def test_among_equal_paths_an_alignment_takes_one():
    assert align(np.log(np.full((2, 2), 0.5)), 0, [1]) == [(0, 1)]
    assert align(np.log(np.full((3, 2), 0.5)), 0, [1]) == [(0, 1)]


def test_length_bonus_lengthens():
    log_probs = random_log_probs(3, 30, 4)
    sizes = [len(beam_search(log_probs, 0, 16, length_bonus=bonus)) for bonus in (-3.0, 0.0, 3.0)]
    assert sizes[0] < sizes[1] < sizes[2]
