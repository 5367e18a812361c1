"""The simple model of tagging: a linear model by scikit-learn on hashed features of a word and its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recurra.data.batching.batches import Batches
from recurra.data.batching.words import WordBatch, WordBatches
from recurra.tasks.baselines import Baseline, single_threaded_fit

BUCKETS = 2**16
"""Features are hashed into this many numbers."""
MAX_WORK = 2_000_000
"""Words times tags that a model is fitted on at most, so that a fit takes seconds."""
MAX_WORDS = 150_000
MAX_TAGS = 100
"""Different tags that a model gives at most: the most frequent ones."""
MAX_WEIGHTS = 100_000
"""Weights that are kept: the largest ones."""
UNIT = 100
"""Weights are kept as whole hundredths."""
ABSENT = -30 * UNIT
"""Bias of a tag that the model does not give."""
PREFIXES, SUFFIXES = 3, 4
WORD, SUFFIX, SHAPE = 0, 2 + PREFIXES, 2 + PREFIXES + SUFFIXES
"""Columns of `word_features`."""
NEIGHBOURS = {1: (WORD, SUFFIX, SUFFIX + 1, SHAPE), -1: (WORD, SUFFIX, SUFFIX + 1, SHAPE), 2: (WORD,), -2: (WORD,)}
"""By distance (positive: before the word), the features of a neighbouring word that are read."""
FACTOR, STEP = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class LinearTags(Baseline):
    """Scores the tags of a word by the sum of the weights of its features.

    Attributes:
        kinds: kind of each character, see `WordEncoder.kinds`, `(signs,)`.
        bias: of each tag, in hundredths, `(tags,)`.
        places: number of the feature times the number of tags, plus the number of the tag; rising, `(weights,)`.
        weights: weight at each place, in hundredths, `(weights,)`.
    """

    kinds: np.ndarray
    bias: np.ndarray
    places: np.ndarray
    weights: np.ndarray

    axes: ClassVar = {"kinds": ("signs",), "bias": ("tags",)}

    def check(self, sizes: Mapping[str, int]) -> None:
        """See `Baseline.check`."""
        super().check(sizes)
        places, last = self.places, BUCKETS * sizes["tags"]
        if any(part.dtype.kind != "i" for part in (self.kinds, self.bias, places, self.weights)):
            raise ValueError("the numbers of the linear model must be whole")
        if places.ndim != 1 or places.shape != self.weights.shape or (np.diff(places) <= 0).any():
            raise ValueError("the places of the weights must rise, with one weight each")
        if len(places) and (places[0] < 0 or places[-1] >= last):
            raise ValueError("the place of a weight is out of range")

    def __call__(self, batch: WordBatch) -> Tensor:
        """Scores `(batch, time, tags)`."""
        real = _real(batch)
        scores = np.zeros((*real.shape, len(self.bias)), np.float32)
        scores[real] = ((_one_hot(features(batch, self.kinds)) @ self._matrix).toarray() + self.bias) / UNIT
        return torch.from_numpy(scores)

    @cached_property
    def _matrix(self) -> Any:
        """The weights as a sparse matrix `(BUCKETS, tags)`."""
        from scipy.sparse import csr_matrix

        tags = len(self.bias)
        places = self.places // tags, self.places % tags
        return csr_matrix((self.weights.astype(np.float64), places), shape=(BUCKETS, tags))


def fit_linear_tags(batches: WordBatches, kinds: np.ndarray, tags: int) -> list[Baseline]:
    """Fits averaged logistic regression by stochastic gradient descent.

    Args:
        batches: training sentences and their tags; of many sentences a random choice is taken.
        kinds: see `WordEncoder.kinds`.
        tags: number of different tags.

    Returns:
        One model, or none where fewer than two tags occur or each sentence is too long.
    """
    some = _choose(batches, min(MAX_WORK // min(tags, MAX_TAGS), MAX_WORDS))
    if not some.count:
        return []
    count, total = some.batches.count, batches.batches.count
    notes = [f"fitted on {count:,} of {total:,} sentences"] if count < total else []
    rows, targets = [], []
    for batch in some:
        assert batch.targets is not None  # noqa: S101  (training batches have them)
        found = batch.targets.numpy()[_real(batch)]
        rows.append(features(batch, kinds)[found >= 0])
        targets.append(found[found >= 0])
    buckets, target = np.concatenate(rows), np.concatenate(targets)
    counts = np.bincount(target, minlength=tags)
    known = np.sort(np.argsort(-counts, kind="stable")[: min(MAX_TAGS, np.count_nonzero(counts))])
    if len(known) < 2:
        return []
    if np.count_nonzero(counts) > len(known):
        notes.append(f"gives the {len(known)} most frequent tags only")
    given = np.isin(target, known)
    bias = np.full(tags, ABSENT)
    bias[known], weight = _solve(_one_hot(buckets[given]), target[given])
    feature, column = np.nonzero(weight)
    values = weight[feature, column]
    largest = np.sort(np.argsort(-np.abs(values), kind="stable")[:MAX_WEIGHTS])
    places = (feature * tags + known[column])[largest]
    name = "logistic regression on words"
    return [LinearTags(name, ", ".join(notes), kinds, bias, places, values[largest])]


def _solve(rows: Any, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bias `(known tags,)` and weights `(BUCKETS, known tags)` of the tags in `target`, in hundredths."""
    from sklearn.linear_model import SGDClassifier

    settings: dict[str, Any] = {"alpha": 1e-6, "learning_rate": "constant", "eta0": 0.1, "average": True}
    model: Any = SGDClassifier("log_loss", max_iter=5, tol=None, random_state=0, **settings)  # type: ignore[arg-type]
    with single_threaded_fit():
        model.fit(rows, target)
    bias, weight = (np.rint(UNIT * part).astype(np.int64) for part in (model.intercept_, model.coef_.T))
    if len(bias) == 1:  # of two tags, one row of coefficients: the second
        bias, weight = np.pad(bias, (1, 0)), np.pad(weight, ((0, 0), (1, 0)))
    return bias, weight


def features(batch: WordBatch, kinds: np.ndarray) -> np.ndarray:
    """Numbers of the features of each word of each sentence, `(words, features)`, one sentence after the other."""
    own = word_features(batch, kinds)[batch.values.numpy()]  # (batch, time, features)
    real = _real(batch)
    own[~real] = 0
    columns = [own]
    for distance, chosen in NEIGHBOURS.items():
        columns.append(_shift(own[..., list(chosen)], distance))
    found = np.concatenate(columns, 2)[real]
    return (_mix(found, np.arange(found.shape[1])) % np.uint64(BUCKETS)).astype(np.int64)


def word_features(batch: WordBatch, kinds: np.ndarray) -> np.ndarray:
    """Hashes of each different word: itself, its length, beginnings, ends, shape and last letters.

    The shape is the sequence of the kinds of characters, with repetitions left out.

    Args:
        batch: its `words`, `characters` and `character_lengths` are read.
        kinds: see `WordEncoder.kinds`.

    Returns:
        `(words, features)`.
    """
    signs, lengths = batch.characters.numpy().astype(np.int64), batch.character_lengths.numpy()
    rows = np.arange(len(lengths))
    signs = np.pad(signs, ((0, 0), (0, PREFIXES), (0, 0)))  # a word without characters has something to read too

    def end(distance: int) -> np.ndarray:
        """The character at a distance from the end, and its letters; 0 where the word is shorter."""
        return np.where((lengths > distance)[:, None], signs[rows, np.maximum(lengths - 1 - distance, 0)], 0)

    word, nothing = batch.words.numpy().astype(np.uint64), np.zeros(len(rows), np.uint64)
    shape, before = nothing, np.zeros(len(rows), np.int64)
    for t in range(int(lengths.max(initial=0))):
        inside, kind = lengths > t, kinds[signs[:, t, 0]]
        word = np.where(inside, _mix(word, signs[:, t, 0]), word)
        shape = np.where(inside & (kind != before), _mix(shape, kind), shape)
        before = kind
    found = [word, _mix(shape, np.minimum(lengths, 6))]
    for count, character in ((PREFIXES, lambda n: signs[:, n, 0]), (SUFFIXES, lambda n: end(n)[:, 0])):
        part = nothing
        for n in range(count):
            part = _mix(part, character(n))
            found.append(part)
    last = end(0)
    letters = [_mix(nothing, last[:, 3]), _mix(_mix(nothing, last[:, 2]), last[:, 3])]
    return np.stack([*found, shape, *letters, _mix(_mix(nothing, end(1)[:, 3]), last[:, 0])], 1)


def _choose(batches: WordBatches, most: int) -> WordBatches:
    """Sentences of at most so many words together, chosen at random, in their order."""
    source = batches.batches
    rows = np.sort(source.rows)
    if int(source.store.lengths[rows].sum()) > most:
        mixed = np.random.default_rng(0).permutation(rows[source.store.lengths[rows] <= most])
        rows = np.sort(mixed[np.cumsum(source.store.lengths[mixed]) <= most])
    return WordBatches(Batches(source.store, rows, source.targets, batch_size=source.batch_size), batches.lexicon)


def _real(batch: WordBatch) -> np.ndarray:
    """Returns the mask of steps that hold a word, `(batch, time)`."""
    return np.arange(batch.values.shape[1]) < batch.lengths.numpy()[:, None]


def _one_hot(buckets: np.ndarray) -> Any:
    """A sparse matrix `(words, BUCKETS)` of numbers of features `(words, features)`; repeated ones count."""
    from scipy.sparse import csr_matrix

    ends = np.arange(0, buckets.size + 1, max(buckets.shape[1], 1))
    return csr_matrix((np.ones(buckets.size), buckets.ravel(), ends), shape=(len(buckets), BUCKETS))


def _shift(values: np.ndarray, by: int) -> np.ndarray:
    """Moves `(batch, time, features)` by some steps, forward where positive; 0 where nothing comes from."""
    found = np.zeros_like(values)
    if abs(by) < values.shape[1]:
        if by > 0:
            found[:, by:] = values[:, :-by]
        else:
            found[:, :by] = values[:, -by:]
    return found


def _mix(before: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Hash of a hash and one more number, element by element."""
    found = (before ^ (value.astype(np.uint64) + STEP)) * FACTOR
    return found ^ (found >> np.uint64(29))
