"""Baselines that count: frequent tokens and pairs of tokens, frequent tags, the most frequent text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import IGNORE

from .baselines import Baseline

MAX_TOKENS = 2_000_000
"""Tokens whose pairs are counted at most: the first ones."""
MAX_PAIRS, MAX_TRIPLES = 200_000, 100_000
"""Different pairs, and different sequences of three tokens, that are kept: the most frequent ones."""


@dataclass(frozen=True)
class TokenFrequency(Baseline):
    """Scores every token by its frequency, independent of the tokens before it.

    Attributes:
        counts: of each token as a target, `(tokens,)`.
    """

    counts: np.ndarray

    constant: ClassVar[bool] = True
    axes: ClassVar = {"counts": ("tokens",)}

    def observe(self, objective: Any, batch: Any) -> tuple[float, float, float]:
        """Summed loss, tokens and characters of a batch, as `NextToken.observe`."""
        second, before, after = _steps(batch)
        losses = -self.log_probability(before, after, second)
        return float(losses.sum()), len(after), float(objective.characters[after].sum())

    def loss(self, objective: Any, batch: Any) -> tuple[float, float]:
        """See `Baseline.loss`."""
        return self.observe(objective, batch)[:2]

    def log_probability(self, before: np.ndarray, after: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
        """Computes the log-probability of tokens in nats.

        Args:
            before: the token before each, `(steps,)`.
            after: the tokens, `(steps,)`.
            second: the token two before each, -1 where there is none; None for none at all.
        """
        return np.log((self.counts[after] + 1) / (self.counts.sum() + len(self.counts)))


@dataclass(frozen=True)
class PairFrequency(TokenFrequency):
    """Scores a token by how often it followed the one before it, smoothed by Witten and Bell's method.

    Attributes:
        pairs: number of the first token times the number of tokens, plus the number of the second; rising, `(pairs,)`.
        pair_counts: how often each occurred, `(pairs,)`.
    """

    pairs: np.ndarray
    pair_counts: np.ndarray

    constant: ClassVar[bool] = False

    def check(self, sizes: Mapping[str, int]) -> None:
        """See `Baseline.check`."""
        super().check(sizes)
        keys, counts = self.pairs, self.pair_counts
        if keys.ndim != 1 or keys.shape != counts.shape or keys.dtype.kind != "i" or (np.diff(keys) <= 0).any():
            raise ValueError("the pairs of tokens must be rising whole numbers with one count each")
        if len(keys) and (keys[0] < 0 or keys[-1] >= sizes["tokens"] ** 2 or (counts <= 0).any()):
            raise ValueError("a pair of tokens or its count is out of range")

    def log_probability(self, before: np.ndarray, after: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
        """See `TokenFrequency.log_probability`."""
        followers, totals = self._after
        known = _look_up(before * len(self.counts) + after, self.pairs, self.pair_counts)
        alone = np.exp(super().log_probability(before, after))
        spread = np.maximum(followers[before], 1)
        return np.log((known + spread * alone) / (totals[before] + spread))

    @cached_property
    def _after(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of different tokens that follow each token, and the number of pairs, `(tokens,)` each."""
        tokens = len(self.counts)
        first = self.pairs // tokens
        return np.bincount(first, minlength=tokens), np.bincount(first, self.pair_counts, minlength=tokens)


@dataclass(frozen=True)
class TripleFrequency(PairFrequency):
    """Scores a token by how often it followed the two before it, interpolated with pairs by Witten and Bell's method.

    Attributes:
        triples: like `pairs`, for three tokens; rising, `(triples,)`.
        triple_counts: how often each occurred, `(triples,)`.
        spread: for each pair that begins a triple, the number of different tokens that followed it, and how often it
            occurred in triples that are not kept, `(contexts,)`.
    """

    triples: np.ndarray
    triple_counts: np.ndarray
    spread: np.ndarray

    def check(self, sizes: Mapping[str, int]) -> None:
        """See `Baseline.check`."""
        super().check(sizes)
        keys, counts, tokens = self.triples, self.triple_counts, sizes["tokens"]
        if keys.ndim != 1 or keys.shape != counts.shape or keys.dtype.kind != "i" or (np.diff(keys) <= 0).any():
            raise ValueError("the triples of tokens must be rising whole numbers with one count each")
        if not len(keys) or keys[0] < 0 or keys[-1] >= tokens**3 or (counts <= 0).any():
            raise ValueError("a triple of tokens or its count is out of range")
        if self.spread.shape != (len(np.unique(keys // tokens)),) or (self.spread <= 0).any():
            raise ValueError("the spread of the triples does not fit them")

    def log_probability(self, before: np.ndarray, after: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
        """See `TokenFrequency.log_probability`."""
        pairs = super().log_probability(before, after)
        if second is None:
            return pairs
        tokens, (contexts, totals) = len(self.counts), self._contexts
        context = np.where(second < 0, -1, second * tokens + before)
        known = _look_up(context * tokens + after, self.triples, self.triple_counts)
        spread, total = _look_up(context, contexts, self.spread), _look_up(context, contexts, totals)
        seen = spread > 0
        return np.log(np.where(seen, (known + spread * np.exp(pairs)) / np.maximum(total + spread, 1), np.exp(pairs)))

    @cached_property
    def _contexts(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the pairs that begin a triple, and how often kept triples begin with each."""
        contexts, place = np.unique(self.triples // len(self.counts), return_inverse=True)
        return contexts, np.bincount(place, self.triple_counts)


def _look_up(wanted: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the value of each wanted key, 0 for an unknown one; `keys` rise."""
    if not len(keys):
        return np.zeros(len(wanted))
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def fit_frequencies(batches: Iterable[Any], tokens: int) -> list[Baseline]:
    """Counts tokens, and sequences of two and three tokens, in batches of a language model."""
    counts, seen, pairs, triples = np.zeros(tokens, np.int64), 0, [], []
    for batch in batches:
        second, before, after = _steps(batch)
        counts += np.bincount(after, minlength=tokens)
        if seen < MAX_TOKENS:
            pairs.append(before * tokens + after)
            triples.append(((second * tokens + before) * tokens + after)[second >= 0])
        seen += len(after)
    of_pairs = _most_frequent(pairs, MAX_PAIRS)[:2]
    note = f" of the first {MAX_TOKENS:,} of {seen:,} tokens" if seen > MAX_TOKENS else ""
    found: list[Baseline] = [
        TokenFrequency("frequency of the tokens", "", counts),
        PairFrequency("frequency of pairs of tokens", note and f"pairs{note}", counts, *of_pairs),
    ]
    keys, times, every, all_times = _most_frequent(triples, MAX_TRIPLES)
    if len(keys) and tokens**3 < 2**62:
        contexts, place = np.unique(every // tokens, return_inverse=True)
        spread = np.bincount(place) + np.bincount(place, all_times).astype(np.int64)
        own, place = np.unique(keys // tokens, return_inverse=True)
        spread = spread[np.searchsorted(contexts, own)] - np.bincount(place, times).astype(np.int64)
        name = "frequency of sequences of three tokens"
        found.append(TripleFrequency(name, note and f"sequences{note}", counts, *of_pairs, keys, times, spread))
    return found


def _most_frequent(found: list[np.ndarray], most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counts keys. Returns the most frequent ones and their counts, then all keys and their counts; keys rise."""
    keys, times = np.unique(np.concatenate(found) if found else np.zeros(0, np.int64), return_counts=True)
    if len(keys) <= most:
        return keys, times, keys, times
    kept = np.sort(np.argsort(-times, kind="stable")[:most])
    return keys[kept], times[kept], keys, times


def _steps(batch: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens two before and one before each target, and the targets, where these count; -1 for no token."""
    values, targets = batch.values.cpu(), batch.targets.cpu()
    values = values[..., 0] if values.dim() > targets.dim() else values
    second = torch.nn.functional.pad(values, (1, 0), value=-1)[..., :-1]
    real = targets != IGNORE
    return tuple(part[real].numpy().astype(np.int64) for part in (second, values, targets))  # type: ignore[return-value]


@dataclass(frozen=True)
class FrequentTag(Baseline):
    """Gives every step the most frequent tag.

    Attributes:
        shares: of each tag, `(tags,)`.
    """

    shares: np.ndarray

    constant: ClassVar[bool] = True
    axes: ClassVar = {"shares": ("tags",)}

    def __call__(self, batch: Any) -> Tensor:
        """Scores `(batch, time, tags)`."""
        scores = torch.from_numpy(np.log(np.maximum(self.shares, 1e-12))).float()
        return scores.expand(*batch.values.shape[:2], -1)


@dataclass(frozen=True)
class TagOfWord(FrequentTag):
    """Gives every word the tag that it has most often; an unknown word that of the words without a number.

    Attributes:
        best: the tag of each word, `(words,)`.
        sure: share of the word's occurrences that have it, `(words,)`.
    """

    best: np.ndarray
    sure: np.ndarray

    constant: ClassVar[bool] = False
    axes: ClassVar = {"shares": ("tags",), "best": ("words",), "sure": ("words",)}

    def check(self, sizes: Mapping[str, int]) -> None:
        """See `Baseline.check`."""
        super().check(sizes)
        if self.best.dtype.kind != "i" or (self.best < 0).any() or (self.best >= sizes["tags"]).any():
            raise ValueError("the tag of a word is out of range")

    def __call__(self, batch: Any) -> Tensor:
        """Scores `(batch, time, tags)`."""
        words = batch.words[batch.values].numpy()
        tags = len(self.shares)
        sure = np.clip(self.sure[words], 1 / tags, 1 - 1e-6)[..., None]
        chosen = np.arange(tags) == self.best[words][..., None]
        return torch.from_numpy(np.log(np.where(chosen, sure, (1 - sure) / max(tags - 1, 1)))).float()


def fit_tags(batches: Iterable[Any], words: int, tags: int) -> list[Baseline]:
    """Counts the tags of each word in batches of a tagger."""
    keys = [np.zeros(0, np.int64)]
    for batch in batches:
        known = batch.targets >= 0
        keys.append((batch.words[batch.values[known]] * tags + batch.targets[known]).numpy())
    pairs, times = np.unique(np.concatenate(keys), return_counts=True)
    word, tag = pairs // tags, pairs % tags
    shares = np.bincount(tag, times, minlength=tags)
    order = np.lexsort((-tag, times))  # the last of a word wins: the most frequent tag, of equals the first
    best, sure = np.full(words, int(shares.argmax())), np.zeros(words)
    best[word[order]] = tag[order]
    totals = np.bincount(word, times, minlength=words)
    sure[word[order]] = times[order]
    sure = (sure + 1) / (totals + tags)
    shares = shares / max(shares.sum(), 1)
    return [
        FrequentTag("most frequent tag", "", shares),
        TagOfWord("most frequent tag of each word", "", shares, best, sure),
    ]


@dataclass(frozen=True)
class FrequentText(Baseline):
    """Answers every recording with the same text.

    Attributes:
        text: the most frequent one of the training data.
    """

    text: str

    constant: ClassVar[bool] = True
    has_loss: ClassVar[bool] = False

    def observe(self, objective: Any, batch: Any) -> list[tuple[str, str, float, int]]:
        """As `CTCObjective.observe`."""
        return [(text, self.text, np.inf, 1) for text in batch.texts]

    def metrics(self, objective: Any, observed: list[Any]) -> dict[str, float]:
        """The error rates."""
        found = objective.metrics(observed)
        del found["loss"]
        return found
