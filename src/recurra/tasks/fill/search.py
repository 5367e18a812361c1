"""Blanks filled by a beam search over all of them at once, and candidates ranked for one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import pad
from recurra.data.encoders.text import UNKNOWN_ID
from recurra.errors import UsageError

from .blanks import FIRST, LATER, Blanked, BlankEncoder

BEAM = 8
# of the probabilities of candidates: neighbouring tokens of a text tell the same several times. On held-out texts of
# docs/guides/fill.md their log loss is least with about a third of the sum.
SHARPNESS = 1 / 3
POSITIONS = 1024  # scored together: few enough for their scores of all tokens to stay in the cache

Scores = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Scores of all tokens `(positions, tokens)`, from token numbers, lengths, and the rows and steps of the positions."""

Fill = int | np.ndarray
"""Content of a blank: its tokens, or the number of tokens to find."""


class Word(NamedTuple):
    """A word for a blank.

    Attributes:
        word: as it is written.
        probability: of it in that place, the other blanks filled as in the best answer.
    """

    word: str
    probability: float


class Filling(NamedTuple):
    """A text whose blanks are filled.

    Attributes:
        text: with the best words in its blanks.
        probability: of those words, all together.
        blanks: for each blank the best words, the most probable first.
    """

    text: str
    probability: float
    blanks: list[list[Word]]


class Choice(NamedTuple):
    """A candidate for a blank.

    Attributes:
        choice: as it was given.
        probability: of it among the candidates.
        score: mean log-probability of the tokens of the text with the candidate in it, each given the others, in nats.
    """

    choice: str
    probability: float
    score: float


@dataclass(frozen=True)
class Puzzle:
    """Tokens of which some are to be found.

    Attributes:
        tokens: `(time,)`, the unknown token where one is to be found.
        open: the steps that are still to be found.
        kinds: for each step of `open`, `FIRST` or `LATER` in its word.
        score: log-probability of what was found so far.
    """

    tokens: np.ndarray
    open: tuple[int, ...]
    kinds: tuple[int, ...]
    score: float = 0.0

    def filled(self, step: int, token: int, score: float) -> Puzzle:
        """The puzzle with an open step found."""
        at, tokens = self.open.index(step), self.tokens.copy()
        tokens[step] = token
        left, kinds = (values[:at] + values[at + 1 :] for values in (self.open, self.kinds))
        return replace(self, tokens=tokens, open=left, kinds=kinds, score=self.score + score)


class Question(NamedTuple):
    """One blank of a text to be filled; the content of the others is given.

    Attributes:
        text: the text.
        fills: what its blanks hold.
        blank: the blank in question.
    """

    text: Blanked
    fills: list[Fill]
    blank: int

    def fills_with(self, size: int) -> list[Fill]:
        """Returns the content of all blanks if this one has a given number of tokens to find."""
        return [*self.fills[: self.blank], size, *self.fills[self.blank + 1 :]]


class Answer(NamedTuple):
    """Tokens for a blank, the word that they are, and its log-probability."""

    tokens: np.ndarray
    word: str
    score: float


class Filler:
    """Fills blanks with a trained network.

    Args:
        encoder: turns texts into tokens.
        scores: of the network; -inf for tokens that are never predicted.
        masks: 0 where a token is allowed and -inf where not, by its kind: `(2, tokens)`.
        spans: share of words of 1, 2, … tokens.
    """

    def __init__(self, encoder: BlankEncoder, scores: Scores, masks: Tensor, spans: np.ndarray) -> None:
        self.encoder, self.scores, self.masks = encoder, scores, masks
        self.spans = {steps: float(np.log(share)) for steps, share in enumerate(spans, 1) if share > 0}

    def fill(self, texts: Sequence[Blanked], top: int) -> list[Filling]:
        """Fills all blanks of each text together, then asks for each of them beside the best words for the others."""
        fills, joint = self._together(texts)
        asked = [Question(text, f, blank) for text, f in zip(texts, fills, strict=True) for blank in range(len(f))]
        found = iter(self.answers(asked, top))
        return [self._filling(text, f, score, found) for text, f, score in zip(texts, fills, joint, strict=True)]

    def best(self, texts: Sequence[Blanked]) -> list[list[np.ndarray]]:
        """Tokens of the best words for the blanks of each text, all together."""
        fills, _ = self._together(texts)
        single = [Question(text, f, 0) for text, f in zip(texts, fills, strict=True) if len(f) == 1]
        answers = iter(self.answers(single, 1))
        return [[next(answers)[0].tokens] if len(f) == 1 else [np.asarray(t) for t in f] for f in fills]

    def _together(self, texts: Sequence[Blanked]) -> tuple[list[list[Fill]], list[float]]:
        """The best tokens for the blanks of each text that has several, and their log-probability."""
        fills: list[list[Fill]] = [[1] * len(text.glued) for text in texts]
        joint = [0.0] * len(texts)
        several = [number for number, text in enumerate(texts) if len(text.glued) > 1]
        if len(self.spans) > 1:
            for number in several:
                fills[number], joint[number] = self._best_sizes(texts[number])
        puzzles = [lay_out(texts[number], fills[number]) for number in several]
        answers = solve([p for p, _ in puzzles], self.scores, self.masks, BEAM)
        for number, (_, places), (best, *_) in zip(several, puzzles, answers, strict=True):
            joint[number] += best.score
            fills[number] = [best.tokens[place] for place in places]
        return fills, joint

    def _best_sizes(self, text: Blanked) -> tuple[list[Fill], float]:
        """For each of several blanks the number of tokens of its best word, the others being unknown.

        Also their log-probability, all together.
        """
        single: list[Fill] = [1] * len(text.glued)
        asked = [Question(text, single, blank) for blank in range(len(single))]
        best = [len(answer.tokens) for answer, *_ in self.answers(asked, 1)]
        return [*best], sum(sizes[n] for sizes, n in zip(self._sizes(asked), best, strict=True))

    def _filling(self, text: Blanked, fills: list[Fill], score: float, answers: Iterator[list[Answer]]) -> Filling:
        found = [next(answers) for _ in fills]
        words = [[Word(a.word, float(np.exp(a.score))) for a in answer] for answer in found]
        if len(words) == 1:
            return Filling(text.put([words[0][0].word]), words[0][0].probability, words)
        best = [self.encoder.decode(tokens.tolist()) for tokens in fills if not isinstance(tokens, int)]
        return Filling(text.put(best), float(np.exp(score)), words)

    def answers(self, asked: Sequence[Question], top: int) -> list[list[Answer]]:
        """At most `top` words for each question, the most probable first; those of all sizes beside each other."""
        if not asked:
            return []
        laid = [lay_out(q.text, q.fills_with(n)) for q in asked for n in self.spans]
        solved = iter(solve([p for p, _ in laid], self.scores, self.masks, max(top, BEAM)))
        places = iter(laid)
        found = []
        for question, sizes in zip(asked, self._sizes(asked), strict=True):
            words: dict[str, Answer] = {}
            for size in sizes.values():
                place = next(places)[1][question.blank]
                for answer in next(solved):
                    tokens, score = answer.tokens[place], answer.score + size
                    word = self.encoder.decode(tokens.tolist())
                    if word in words:  # the same word in other pieces
                        score = float(np.logaddexp(score, words[word].score))
                    words[word] = Answer(tokens, word, score)
            found.append(sorted(words.values(), key=lambda a: -a.score)[:top])
        return found

    def _sizes(self, asked: Sequence[Question]) -> list[dict[int, float]]:
        """Log-probability of each number of tokens in a blank.

        It is the share of words of so many tokens, times the network's probability that the tokens of a blank of that
        length are of the right kind: that the first begins a word and the others go on with it.
        """
        if len(self.spans) == 1:
            return [dict.fromkeys(self.spans, 0.0) for _ in asked]
        puzzles = [lay_out(q.text, q.fills_with(n))[0] for q in asked for n in self.spans]
        rows = [row for row, p in enumerate(puzzles) for _ in p.open]
        kinds = torch.tensor([kind for p in puzzles for kind in p.kinds])
        right = []
        for part, found in score_at(
            [p.tokens for p in puzzles], rows, [s for p in puzzles for s in p.open], self.scores
        ):
            chances = torch.log_softmax(found + self.masks.amax(0), 1)
            right.append(torch.logsumexp(chances + self.masks[kinds[part]], 1).cpu())
        evidence = iter(torch.cat(right).double().split([len(p.open) for p in puzzles]))
        sizes = []
        for _ in asked:
            scores = torch.stack([share + next(evidence).sum() for share in self.spans.values()])
            sizes.append(dict(zip(self.spans, torch.log_softmax(scores, 0).tolist(), strict=True)))
        return sizes

    def rank(self, text: Blanked, choices: Sequence[str]) -> list[Choice]:
        """Ranks candidates for the only blank of a text.

        The score of a candidate is the pseudo-log-likelihood of the whole text with the candidate put in (Salazar et
        al. 2020, https://aclanthology.org/2020.acl-main.240), per token: the mean over its known tokens of the
        log-probability of each given all the others. It asks both how well the candidate fits the text and how
        well the text fits the candidate, and does not favour short candidates.
        """
        texts = [lay_out(text, [self._known(choice, text.glued[0])])[0].tokens for choice in choices]
        places = [np.flatnonzero(tokens != UNKNOWN_ID) for tokens in texts]
        rows = [row for row, steps in enumerate(places) for _ in steps]
        found = []
        targets = torch.from_numpy(np.concatenate([t[p] for t, p in zip(texts, places, strict=True)])).long()
        for part, scores in score_at(texts, rows, np.concatenate(places).tolist(), self.scores):
            chances = torch.log_softmax(scores, 1).cpu()
            found.append(chances.gather(1, targets[part].unsqueeze(1)).squeeze(1).double())
        means = torch.stack([part.mean() for part in torch.cat(found).split([len(steps) for steps in places])])
        around = sum(int((part != UNKNOWN_ID).sum()) for part in text.parts)
        shares = torch.softmax(means * (around + 1) * SHARPNESS, 0)
        ranked = zip(choices, shares.tolist(), means.tolist(), strict=True)
        return sorted((Choice(*row) for row in ranked), key=lambda c: -c.score)

    def _known(self, choice: str, glued: bool) -> np.ndarray:
        tokens = self.encoder.encode_part(choice, glued)
        if not len(tokens):
            raise UsageError("a candidate is empty: give words, such as --choices 'more,less'")
        if UNKNOWN_ID in tokens:
            pieces = [self.encoder.decode([t]) for t in tokens.tolist() if t != UNKNOWN_ID]
            known = f"; it knows only {', '.join(map(repr, filter(None, pieces)))} of it" if any(pieces) else ""
            raise UsageError(
                f"the candidate {choice!r} is not in the model's vocabulary{known}\n"
                "a model of pieces (--tokens bpe) or of more text knows more words"
            )
        return tokens


def lay_out(text: Blanked, fills: Sequence[Fill]) -> tuple[Puzzle, list[slice]]:
    """Joins the parts of a text and what its blanks hold; also returns the position of each blank."""
    tokens, at = [text.parts[0]], len(text.parts[0])
    open_: list[int] = []
    kinds: list[int] = []
    places: list[slice] = []
    for fill, glued, part in zip(fills, text.glued, text.parts[1:], strict=True):
        steps = fill if isinstance(fill, int) else len(fill)
        if isinstance(fill, int):
            open_ += range(at, at + steps)
            kinds += [LATER if glued else FIRST, *[LATER] * (steps - 1)]
            fill = np.full(steps, UNKNOWN_ID, np.int32)
        tokens += [fill, part]
        places.append(slice(at, at + steps))
        at += steps + len(part)
    return Puzzle(np.concatenate(tokens).astype(np.int32), tuple(open_), tuple(kinds)), places


def solve(puzzles: Sequence[Puzzle], scores: Scores, masks: Tensor, beam: int) -> list[list[Puzzle]]:
    """Fills the open steps of every puzzle, the surest first, each in the light of those already filled.

    The log-probability of an answer is the sum over its steps of that of the token found there, given all tokens
    found before it (the open ones count as unknown): a chain of conditional probabilities.

    Args:
        puzzles: any number.
        scores: of the network.
        masks: see `Filler`.
        beam: answers that are kept beside each other.

    Returns:
        For each puzzle, at most `beam` answers, the most probable first.
    """
    alive = [[p] for p in puzzles]
    while states := [(number, p) for number, answers in enumerate(alive) for p in answers if p.open]:
        found = _best_tokens([p for _, p in states], scores, masks, beam)
        following: dict[int, list[Puzzle]] = {}
        surest: dict[int, int] = {}
        for (number, state), (values, tokens) in zip(states, found, strict=True):
            # answers beside each other go on with the same step, or they could not be compared
            step = surest.setdefault(number, state.open[int(values[:, 0].argmax())])
            at = state.open.index(step)
            following.setdefault(number, []).extend(
                state.filled(step, token, value)
                for value, token in zip(values[at].tolist(), tokens[at].tolist(), strict=True)
                if value > -np.inf
            )
        for number, answers in following.items():
            alive[number] = sorted(answers, key=lambda p: -p.score)[:beam]
    return alive


def _best_tokens(states: list[Puzzle], scores: Scores, masks: Tensor, beam: int) -> list[tuple[Tensor, Tensor]]:
    """For each puzzle, the log-probabilities and numbers of the best tokens of each open step, `(open, beam)`."""
    kinds = torch.tensor([kind for p in states for kind in p.kinds])
    values, tokens = [], []
    for part, found in score_open(states, scores):
        found = torch.log_softmax(found + masks[kinds[part]], 1)
        top = found.topk(min(beam, found.shape[1]), 1)
        values.append(top.values.cpu())
        tokens.append(top.indices.cpu())
    sizes = [len(p.open) for p in states]
    return list(zip(torch.cat(values).split(sizes), torch.cat(tokens).split(sizes), strict=True))


def score_open(puzzles: Sequence[Puzzle], scores: Scores) -> Iterator[tuple[slice, Tensor]]:
    """Scores of all tokens at the open steps of all puzzles, as `score_at` gives them."""
    rows = [row for row, p in enumerate(puzzles) for _ in p.open]
    return score_at([p.tokens for p in puzzles], rows, [step for p in puzzles for step in p.open], scores)


def score_at(
    texts: Sequence[np.ndarray], rows: Sequence[int], steps: Sequence[int], scores: Scores
) -> Iterator[tuple[slice, Tensor]]:
    """Scores of all tokens at some steps of texts, a part of the positions at a time.

    Args:
        texts: token numbers, `(time,)` each.
        rows: the text of each position, in rising order.
        steps: its time step in that text.
        scores: of the network.

    Yields:
        A slice of the positions, and their scores `(positions, tokens)`.
    """
    for start in range(0, len(rows), POSITIONS):
        part = slice(start, start + POSITIONS)
        first, last = rows[part][0], rows[part][-1]
        some = list(texts[first : last + 1])
        lengths = torch.tensor([len(text) for text in some])
        yield part, scores(pad(some), lengths, torch.tensor(rows[part]) - first, torch.tensor(steps[part]))
