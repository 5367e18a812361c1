"""Decoding of connectionist temporal classification (CTC): from probabilities at each step to tokens.

A path gives each step a token or the blank; it spells the tokens that remain when runs of the same token are taken
as one and blanks are dropped (Graves et al., "Connectionist temporal classification", 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from math import exp, inf, log1p

import numpy as np

PRUNE = -12.0  # a token this improbable at a step (in nats below the best one) is not tried


def needed_steps(tokens: Sequence[int]) -> int:
    """Fewest steps in which a path can spell the tokens: one each, and a blank between two that are the same.

    Example:
        >>> needed_steps([7, 7, 8])
        4
    """
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))


def greedy(log_probs: np.ndarray, blank: int) -> list[int]:
    """The tokens that the most probable path spells.

    Args:
        log_probs: logarithms of the probabilities, `(time, tokens)`.
        blank: number of the blank.
    """
    return [token for token, _ in groupby(log_probs.argmax(1).tolist()) if token != blank]


def beam_search(
    log_probs: np.ndarray, blank: int, beam: int, *, length_bonus: float = 0.0, prune: float = PRUNE
) -> list[int]:
    """The most probable tokens, summed over all paths that spell them, as far as a beam finds them.

    Prefix beam search (Hannun et al., "First-pass large vocabulary continuous speech recognition", 2014, without a
    language model), in log space.

    Args:
        log_probs: logarithms of the probabilities, `(time, tokens)`.
        blank: number of the blank.
        beam: prefixes kept at each step; with all of them the answer is exact.
        length_bonus: added to the logarithm of a prefix for each of its tokens.
        prune: tokens further below the best one of their step, in nats, are not tried.

    Example:
        >>> import numpy as np
        >>> p = np.log([[0.6, 0.4], [0.6, 0.4]])  # blank, blank is the best path, but three others spell [1]
        >>> greedy(p, 0), beam_search(p, 0, beam=4)
        ([], [1])
    """
    # a prefix -> log-probability of its paths that end in a blank, and of those that end in its last token
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -inf)}
    tried = log_probs >= log_probs.max(1, keepdims=True, initial=-inf) + prune
    tried[:, blank] = False
    for row, candidates in zip(log_probs.tolist(), tried, strict=True):
        tokens = np.flatnonzero(candidates).tolist()
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (in_blank, in_token) in beams.items():
            total = _add(in_blank, in_token)
            last = prefix[-1] if prefix else None
            old = grown.get(prefix, (-inf, -inf))
            stay = in_token + row[last] if last is not None else -inf
            grown[prefix] = (_add(old[0], total + row[blank]), _add(old[1], stay))
            for token in tokens:
                longer = (*prefix, token)
                old = grown.get(longer, (-inf, -inf))
                # the same token again is a new one only after a blank
                before = in_blank if token == last else total
                grown[longer] = (old[0], _add(old[1], before + row[token]))
        score = {p: _add(*logs) + length_bonus * len(p) for p, logs in grown.items()}
        best = sorted(score, key=score.__getitem__, reverse=True)[:beam]
        beams = {prefix: grown[prefix] for prefix in best}
    return list(next(iter(beams)))


def align(log_probs: np.ndarray, blank: int, tokens: Sequence[int]) -> list[tuple[int, int]]:
    """The steps of each token in the most probable path that spells them.

    Args:
        log_probs: logarithms of the probabilities, `(time, tokens)`.
        blank: number of the blank.
        tokens: what is spelled.

    Returns:
        First step of each token, and the one after its last.

    Raises:
        ValueError: there are too few steps for the tokens.
    """
    if needed_steps(tokens) > len(log_probs):
        raise ValueError(f"{len(log_probs)} steps cannot spell {len(tokens)} tokens")
    if not len(tokens):
        return []
    states = np.full(2 * len(tokens) + 1, blank)  # blank, token, blank, …, token, blank
    states[1::2] = tokens
    can_skip = np.zeros(len(states), bool)  # from a token to the next one without a blank between
    can_skip[3::2] = states[3::2] != states[1:-2:2]
    score = np.full(len(states), -inf)
    score[:2] = log_probs[0, states[:2]]
    came_from = np.zeros((len(log_probs), len(states)), np.int64)
    for step in range(1, len(log_probs)):
        ways = np.stack([score, _shift(score, 1), np.where(can_skip, _shift(score, 2), -inf)])
        came_from[step] = ways.argmax(0)
        score = ways.max(0) + log_probs[step, states]
    at = len(states) - 1 if score[-1] >= score[-2] else len(states) - 2
    path = [at]
    for step in range(len(log_probs) - 1, 0, -1):
        at -= int(came_from[step, at])
        path.append(at)
    where = np.array(path[::-1])
    spans = [np.flatnonzero(where == 2 * i + 1) for i in range(len(tokens))]
    return [(int(steps[0]), int(steps[-1]) + 1) for steps in spans]


def _shift(values: np.ndarray, by: int) -> np.ndarray:
    return np.concatenate([np.full(by, -inf), values[:-by]])


def _add(a: float, b: float) -> float:
    """Logarithm of the sum of two numbers given by their logarithms."""
    if a < b:
        a, b = b, a
    return a if b == -inf else a + log1p(exp(b - a))
