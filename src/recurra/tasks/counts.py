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
MAX_PAIRS = 200_000
"""Different pairs that are kept: the most frequent ones."""


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
        before, after = _steps(batch)
        return float(-self.log_probability(before, after).sum()), len(after), float(objective.characters[after].sum())

    def loss(self, objective: Any, batch: Any) -> tuple[float, float]:
        """See `Baseline.loss`."""
        return self.observe(objective, batch)[:2]

    def log_probability(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Of each token `after` in nats, given the one before."""
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

    def log_probability(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Of each token `after` in nats, given the one before."""
        tokens = len(self.counts)
        followers, totals = self._after
        wanted = before * tokens + after
        at = np.minimum(np.searchsorted(self.pairs, wanted), max(len(self.pairs) - 1, 0))
        known = (
            np.where(self.pairs[at] == wanted, self.pair_counts[at], 0) if len(self.pairs) else np.zeros(len(wanted))
        )
        alone = np.exp(super().log_probability(before, after))
        spread = np.maximum(followers[before], 1)
        return np.log((known + spread * alone) / (totals[before] + spread))

    @cached_property
    def _after(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the number of different tokens that follow each token, and the number of pairs, `(tokens,)` each."""
        tokens = len(self.counts)
        first = self.pairs // tokens
        return np.bincount(first, minlength=tokens), np.bincount(first, self.pair_counts, minlength=tokens)


def fit_frequencies(batches: Iterable[Any], tokens: int) -> list[Baseline]:
    """Counts tokens, and pairs of neighbouring tokens, in batches of a language model."""
    counts, seen, found = np.zeros(tokens, np.int64), 0, []
    for batch in batches:
        before, after = _steps(batch)
        counts += np.bincount(after, minlength=tokens)
        if seen < MAX_TOKENS:
            found.append(before * tokens + after)
        seen += len(after)
    pairs, times = np.unique(np.concatenate(found) if found else np.zeros(0, np.int64), return_counts=True)
    if len(pairs) > MAX_PAIRS:
        kept = np.sort(np.argsort(-times, kind="stable")[:MAX_PAIRS])
        pairs, times = pairs[kept], times[kept]
    note = f"pairs of the first {MAX_TOKENS:,} of {seen:,} tokens" if seen > MAX_TOKENS else ""
    return [
        TokenFrequency("frequency of the tokens", "", counts),
        PairFrequency("frequency of pairs of tokens", note, counts, pairs, times),
    ]


def _steps(batch: Any) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that are read and those that follow, where these count."""
    values, targets = batch.values.cpu(), batch.targets.cpu()
    values = values[..., 0] if values.dim() > targets.dim() else values
    real = targets != IGNORE
    return values[real].numpy().astype(np.int64), targets[real].numpy().astype(np.int64)


@dataclass(frozen=True)
class FrequentTag(Baseline):
    """Gives every word the most frequent tag.

    Attributes:
        shares: of each tag, `(tags,)`.
    """

    shares: np.ndarray

    constant: ClassVar[bool] = True
    axes: ClassVar = {"shares": ("tags",)}

    def __call__(self, batch: Any) -> Tensor:
        """Scores `(batch, time, tags)`."""
        scores = torch.from_numpy(np.log(np.maximum(self.shares, 1e-12))).float()
        return scores.expand(*batch.values.shape, -1)


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
