"""Linear-chain conditional random field (CRF): log-partition, marginals and the best path of tags.

The score of a path is the sum of the scores of its steps, of the transitions between them, and of its start and end.
The probability of a path is proportional to the exponential of its score (Lafferty, McCallum and Pereira 2001,
https://repository.upenn.edu/handle/20.500.14332/6188). All functions take ragged batches, also with lengths of zero.
Values beyond a length are never read.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.ops.mask import step_mask

FORBIDDEN = -1e9
"""Score of a transition that is not allowed; far below any learned one, and far from overflow."""


class Transitions(NamedTuple):
    """Scores of a path that do not depend on the input.

    Attributes:
        pairs: from tag to tag, `(tags, tags)`.
        start: of the first tag, `(tags,)`.
        end: of the last tag, `(tags,)`.
    """

    pairs: Tensor
    start: Tensor
    end: Tensor


def path_score(scores: Tensor, tags: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """Score of one path for each sequence, `(batch,)`; 0 for an empty one.

    Args:
        scores: of each tag at each step, `(batch, time, tags)`.
        tags: the path, `(batch, time)`; any number beyond the lengths.
        lengths: `(batch,)`.
        transitions: scores of the transitions.
    """
    if not scores.shape[1]:
        return scores.sum((1, 2))  # 0, with a gradient
    real = _real(scores, lengths)
    tags = torch.where(real, tags, 0)
    steps = scores.gather(2, tags.unsqueeze(2)).squeeze(2)
    # not by two indices: threads would add to the gradient in any order
    moves = transitions.pairs.flatten().index_select(0, (tags[:, :-1] * scores.shape[2] + tags[:, 1:]).flatten())
    moves = moves.view(len(tags), tags.shape[1] - 1)
    last = tags.gather(1, (real.sum(1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
    ends = transitions.start[tags[:, 0]] + transitions.end[last]
    zero = scores.new_zeros(())
    return (
        torch.where(real, steps, zero).sum(1)
        + torch.where(real[:, 1:], moves, zero).sum(1)
        + torch.where(real[:, 0], ends, zero)
    )


def log_partition(scores: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """Logarithm of the sum over all paths of the exponential of their scores, `(batch,)`; 0 for an empty sequence.

    Args:
        scores: of each tag at each step, `(batch, time, tags)`.
        lengths: `(batch,)`.
        transitions: scores of the transitions.

    Example:
        >>> import torch
        >>> none = Transitions(torch.zeros(2, 2), torch.zeros(2), torch.zeros(2))
        >>> log_partition(torch.zeros(1, 3, 2), torch.tensor([3]), none).exp().round().tolist()
        [8.0]
    """
    if not scores.shape[1]:
        return scores.sum((1, 2))  # 0, with a gradient
    real = _real(scores, lengths)
    forward = transitions.start + scores[:, 0]
    for t in range(1, scores.shape[1]):
        after = torch.logsumexp(forward.unsqueeze(2) + transitions.pairs, 1) + scores[:, t]
        forward = torch.where(real[:, t, None], after, forward)
    total = torch.logsumexp(forward + transitions.end, 1)
    return torch.where(real[:, 0], total, total.new_zeros(()))


def marginals(scores: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """Probability of each tag at each step over all paths, `(batch, time, tags)`; 0 beyond the lengths."""
    steps = scores.shape[1]
    if not steps:
        return torch.zeros_like(scores)
    real = _real(scores, lengths)
    forward = [transitions.start + scores[:, 0]]
    for t in range(1, steps):
        forward.append(torch.logsumexp(forward[-1].unsqueeze(2) + transitions.pairs, 1) + scores[:, t])
    last = transitions.end.expand(len(scores), -1)
    backward = [last]  # of the last real step and all beyond it
    for t in range(steps - 1, 0, -1):
        before = torch.logsumexp(transitions.pairs + (scores[:, t] + backward[-1]).unsqueeze(1), 2)
        backward.append(torch.where(real[:, t, None], before, last))
    both = torch.stack(forward, 1) + torch.stack(backward[::-1], 1)
    return torch.where(real.unsqueeze(2), torch.softmax(both, 2), both.new_zeros(()))


def best_path(scores: Tensor, lengths: Tensor, transitions: Transitions) -> Tensor:
    """The path of the highest score by Viterbi's algorithm, `(batch, time)`; 0 beyond the lengths.

    Args:
        scores: of each tag at each step, `(batch, time, tags)`.
        lengths: `(batch,)`.
        transitions: scores of the transitions; those that are not allowed have `FORBIDDEN` added.
    """
    batch, steps, _ = scores.shape
    path = torch.zeros(batch, steps, dtype=torch.long, device=scores.device)
    if not steps:
        return path
    real = _real(scores, lengths)
    scores, pairs, start, end = (
        x.double() for x in (scores, *transitions)
    )  # float32 would lose the scores in FORBIDDEN
    forward, came_from = start + scores[:, 0], []
    for t in range(1, steps):
        best, before = (forward.unsqueeze(2) + pairs).max(1)
        forward = torch.where(real[:, t, None], best + scores[:, t], forward)
        came_from.append(before)
    label = (forward + end).argmax(1)
    for t in range(steps - 1, 0, -1):
        path[:, t] = label
        label = torch.where(real[:, t], came_from[t - 1].gather(1, label.unsqueeze(1)).squeeze(1), label)
    path[:, 0] = label
    return torch.where(real, path, 0)


def _real(scores: Tensor, lengths: Tensor) -> Tensor:
    return step_mask(lengths.to(scores.device), scores.shape[1])


class LinearChainCRF(torch.nn.Module):
    """Output layer of a tagger: learned transitions (a conditional random field), hard constraints, or both.

    Args:
        tags: number of tags.
        learnt: whether transitions are learned. Without, the loss of a step does not depend on the other steps.
        allowed: which tag may follow which, which may be first and which last, as booleans `(tags, tags)`, `(tags,)`,
            `(tags,)`. Only decoding uses it, so training data may break these rules.

    Example:
        Tag 1 must not follow tag 0:

        >>> import torch
        >>> from recurra import nn
        >>> allowed = torch.tensor([[True, False], [True, True]]), torch.ones(2).bool(), torch.ones(2).bool()
        >>> crf = nn.LinearChainCRF(2, learnt=False, allowed=allowed)
        >>> scores = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]]])
        >>> crf.decode(scores, torch.tensor([3])).tolist()
        [[0, 0, 0]]
        >>> [round(loss, 3) for loss in crf.loss(scores, torch.tensor([[0, 1, 0]]), torch.tensor([3])).tolist()]
        [0.489]
    """

    def __init__(self, tags: int, *, learnt: bool, allowed: tuple[Tensor, Tensor, Tensor] | None = None) -> None:
        super().__init__()
        self.learnt, self.constrained = learnt, allowed is not None
        if learnt:
            self.pairs = torch.nn.Parameter(torch.zeros(tags, tags))
            self.start = torch.nn.Parameter(torch.zeros(tags))
            self.end = torch.nn.Parameter(torch.zeros(tags))
        else:
            for name, shape in (("pairs", (tags, tags)), ("start", (tags,)), ("end", (tags,))):
                self.register_buffer(name, torch.zeros(shape), persistent=False)
        for name, part in zip(("pairs", "start", "end"), allowed or (), strict=False):
            self.register_buffer(f"no_{name}", torch.where(part, 0.0, FORBIDDEN), persistent=False)

    def without_learnt(self) -> LinearChainCRF:
        """Returns a layer on the CPU with the same constraints and without learned transitions."""
        if not self.constrained:
            return LinearChainCRF(len(self.start), learnt=False)
        pairs, start, end = (getattr(self, f"no_{name}").cpu() == 0 for name in ("pairs", "start", "end"))
        return LinearChainCRF(len(self.start), learnt=False, allowed=(pairs, start, end))

    @property
    def transitions(self) -> Transitions:
        """The learned transitions."""
        return Transitions(self.pairs, self.start, self.end)

    @property
    def links(self) -> Transitions:
        """Earlier name of `transitions`."""
        warnings.warn("`links` is now `transitions`", DeprecationWarning, stacklevel=2)
        return self.transitions

    @property
    def decoding(self) -> Transitions:
        """The transitions for decoding: a very low score is added to those that are not allowed."""
        if not self.constrained:
            return self.transitions
        return Transitions(*(getattr(self, name) + getattr(self, f"no_{name}") for name in ("pairs", "start", "end")))

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-probability of the known tags of each sequence, `(batch,)`.

        Args:
            scores: `(batch, time, tags)`.
            tags: `(batch, time)`; a negative number where a tag is not known, which is then summed over.
            lengths: `(batch,)`.
        """
        if not self.learnt:
            losses = torch.nn.functional.cross_entropy(
                scores.flatten(0, 1), tags.flatten().clamp(min=-1), ignore_index=-1, reduction="none"
            )
            return losses.view(tags.shape).sum(1)
        known = tags >= 0
        total = log_partition(scores, lengths, self.transitions)
        if bool((known | ~_real(scores, lengths)).all()):
            return total - path_score(scores, tags, lengths, self.transitions)
        others = known.unsqueeze(2) & (torch.arange(scores.shape[2], device=scores.device) != tags.unsqueeze(2))
        return total - log_partition(scores.masked_fill(others, -1e4), lengths, self.transitions)

    def log_probability(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Logarithm of the probability of tags among all that are allowed, `(batch,)`; arguments as of `path_score`."""
        return path_score(scores, tags, lengths, self.decoding) - log_partition(scores, lengths, self.decoding)

    def decode(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The best tags that are allowed, `(batch, time)`; 0 beyond the lengths."""
        if self.learnt or self.constrained:
            return best_path(scores, lengths, self.decoding)
        return torch.where(_real(scores, lengths), scores.argmax(2), 0)

    def probabilities(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each tag at each step, `(batch, time, tags)`; 0 beyond the lengths."""
        if self.learnt or self.constrained:
            return marginals(scores, lengths, self.decoding)
        return torch.softmax(scores, 2) * _real(scores, lengths).unsqueeze(2)
