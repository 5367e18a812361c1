"""Beam search: the most probable translations that a decoder finds, many sentences at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recurra.data.encoders.text import UNKNOWN_ID
from recurra.tasks.finite import finite

from .network import BEGIN, END, EncoderDecoder, map_state, repeated

PHRASE, COPIES = 8, 3
"""A phrase of up to so many tokens is repeated directly at most so often."""


class Hypothesis(NamedTuple):
    """A translation found.

    Attributes:
        tokens: its token numbers, without the end.
        score: its log-probability, divided by the number of its tokens and its end to the power of the length penalty.
    """

    tokens: list[int]
    score: float


def beam_search(
    network: EncoderDecoder, values: Tensor, lengths: Tensor, limits: Tensor, *, beams: int, length_penalty: float
) -> list[list[Hypothesis]]:
    """Searches translations; with one beam that is greedy decoding.

    At each step the best `beams` unfinished hypotheses of a sentence live on. A sentence is done when as many have
    ended. The unknown token is never said, no translation is empty, and none is longer than its limit.

    Args:
        network: in evaluation mode.
        values: source tokens `(batch, time)`; every sentence has at least one.
        lengths: `(batch,)`.
        limits: greatest number of tokens of each translation, the end not counted, `(batch,)`; at least 1.
        beams: hypotheses of each sentence.
        length_penalty: 0 favours short translations, 1 compares mean log-probabilities of a token.

    Returns:
        For each sentence its hypotheses, the best first; at least one, at most `beams`.
    """
    batch, device = len(values), values.device
    encoded = network.encode(values, lengths)
    state = repeated(encoded.state, beams)
    limits = limits.to(device)
    tokens = torch.full((batch * beams,), BEGIN, device=device)
    said = tokens.new_zeros(batch * beams, 0)
    totals = torch.full((batch, beams), -torch.inf, device=device)
    totals[:, 0] = 0  # all hypotheses are alike at first: one of them goes on
    first = torch.arange(batch, device=device).unsqueeze(1) * beams
    found: list[list[Hypothesis]] = [[] for _ in range(batch)]
    for step in range(int(limits.max()) + 1):
        scores, state, _ = network.step(tokens, state, encoded)
        scores = _allowed(finite(scores), said, (limits == step).repeat_interleave(beams))
        sums = totals.unsqueeze(-1) + scores.unflatten(0, (batch, beams))
        # twice as many, since at most one continuation of each hypothesis is its end
        best, at = sums.flatten(1).topk(2 * beams)
        parents, chosen = at // scores.shape[-1], at % scores.shape[-1]
        _collect(found, best, parents, chosen, said, (step + 1) ** length_penalty)
        if all(len(hypotheses) >= beams for hypotheses in found):
            break
        totals, order = best.masked_fill(chosen == END, -torch.inf).topk(beams)
        if not totals.isfinite().any():
            break
        rows = (first + parents.gather(1, order)).flatten()
        tokens = chosen.gather(1, order).flatten()
        said = torch.cat([said[rows], tokens.unsqueeze(1)], dim=1)
        state = map_state(state, lambda part, rows=rows: part.index_select(1, rows))
    return [sorted(hypotheses, key=lambda h: -h.score) for hypotheses in found]


def _allowed(scores: Tensor, said: Tensor, spent: Tensor) -> Tensor:
    """Log-probabilities of the next tokens, minus infinity for those that may not come."""
    scores = torch.log_softmax(scores.float(), dim=-1)
    scores[:, [UNKNOWN_ID, BEGIN]] = -torch.inf
    steps = said.shape[1]
    if not steps:
        scores[:, END] = -torch.inf
    for period in range(1, min(PHRASE, (steps + 1) // (COPIES + 1)) + 1):
        span = COPIES * period - 1  # the last token of one more copy would make it too many
        tail = said[:, steps - span - period :]
        rows = (tail[:, period:] == tail[:, :-period]).all(1).nonzero().squeeze(1)
        scores[rows, said[rows, steps - period]] = -torch.inf
    ended = scores[spent, END]
    scores[spent] = -torch.inf
    scores[spent, END] = ended
    return scores


def _collect(
    found: list[list[Hypothesis]], best: Tensor, parents: Tensor, chosen: Tensor, said: Tensor, divisor: float
) -> None:
    """Keeps finished hypotheses that are among the best of their sentence, up to the size of the beam."""
    beams = best.shape[1] // 2
    ends = ((chosen == END) & best.isfinite())[:, :beams]
    for sentence, place in ends.nonzero().tolist():
        if len(found[sentence]) < beams:
            tokens = said[sentence * beams + int(parents[sentence, place])].tolist()
            found[sentence].append(Hypothesis(tokens, float(best[sentence, place]) / divisor))
