"""Fits the linear models of the many-to-one tasks with scikit-learn, on a limited part of the training data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from recurra.data.batching.batches import Batches
from recurra.tasks.baselines import single_threaded_fit

from .features import frequent_ngrams, ngram_counts, ngrams, resampled, summary, tf_idf
from .models import (
    MAX_FEATURES,
    Linear,
    LinearOnNgrams,
    LinearOnSpectrum,
    LinearOnStatistics,
    LinearOnValues,
    Problem,
    greatest_order,
    statistics_of,
    summary_and_spectrum,
)

MAX_ROWS = 10_000
"""Sequences that a linear model is fitted on at most; of more, a random choice."""
MAX_VALUES = {"text": 2_000_000, "series": 20_000_000, "audio": 20_000_000}
"""Tokens or numbers in these sequences at most."""
FEWEST_ROWS = 200
"""Sequences that are taken even if they are more work."""
MAX_WORK = 5e7
"""Sequences times features times outputs at most, so that a fit takes seconds."""
RESAMPLED = 512
"""Values of a resampled series at most, over all features."""
MAX_NGRAMS = 20_000
"""N-grams of tokens that count at most."""
MAX_WEIGHTS = 400_000
"""Weights of a model for all outputs, so that the model folder stays small."""
ORDERS = {"char": 4, "word": 2, "bpe": 2}
"""Tokens of an n-gram at most."""
TOKENS_OF_A_TEXT = 50
"""Different tokens that a text may have, for the estimate of the work."""
FEWEST_FOLDS, CHOICE_FOLDS = 2, 3
CHOICE_ROWS, CHOICE_WORK = 2000, 2e6
"""Sequences, and sequences times features times outputs, that choose the strength of the regularization at most."""
CHOICE_TEXTS = 20_000
"""The same for texts: texts times outputs. Fewer texts would choose too little regularization."""
C_DENSE, C_SPARSE = (0.01, 0.1, 1.0, 10.0, 100.0), (1.0, 3.0, 10.0)
"""Strengths of logistic regression that are tried: the inverse of the penalty."""
ALPHA_DENSE, ALPHA_SPARSE = (1e-3, 1e-2, 0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e6), (0.1, 1.0, 10.0, 1e2, 1e6)
"""Penalties of ridge regression that are tried; the last one gives the mean."""
SAME = 1e-6
"""Deviation of a feature that counts as constant, as a share of its mean or of 1: encoded values have 32 bits."""
ABSENT = -30.0
"""Bias of a class that the sequences lack."""


class Examples(NamedTuple):
    """Features and targets of sequences, to fit linear models on.

    Attributes:
        features: `(sequences, features)`: a sparse matrix of counts, or an array.
        targets: numbers of classes `(sequences,)`; numbers to predict `(sequences, outputs)`; or of several labels, 1
            for each label that a sequence has, `(sequences, outputs)`.
        weights: `(sequences,)`, or None.
        outputs: classes, or numbers to predict.
        classes: whether the targets are classes or labels.
    """

    features: Any
    targets: np.ndarray
    weights: np.ndarray | None
    outputs: int
    classes: bool

    def take(self, rows: np.ndarray) -> Examples:
        """Some of the sequences."""
        weights = None if self.weights is None else self.weights[rows]
        return self._replace(features=self.features[rows], targets=self.targets[rows], weights=weights)

    def folds(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to fit on and rows to predict, for each part of a cross-validation."""
        from sklearn.model_selection import KFold, StratifiedKFold

        one = self.classes and self.targets.ndim == 1
        sizes = np.bincount(self.targets) if one else np.zeros(1, int)
        kind = StratifiedKFold if one and sizes[sizes > 0].min() >= count else KFold
        rows = np.zeros(len(self.targets))
        return kind(count, shuffle=True, random_state=0).split(rows, self.targets if one else None)

    @property
    def sparse(self) -> bool:
        """True if the features are counts."""
        return not isinstance(self.features, np.ndarray)

    def loss(self, outputs: np.ndarray) -> float:
        """Mean cross-entropy or squared error of outputs `(sequences, outputs)`."""
        if self.classes and self.targets.ndim == 2:
            losses = (np.logaddexp(0, outputs) - outputs * self.targets).mean(1)
        elif self.classes:
            from scipy.special import log_softmax

            losses = -log_softmax(outputs, 1)[np.arange(len(outputs)), self.targets]
        else:
            losses = ((outputs - self.targets) ** 2).mean(1)
        return float(np.average(losses, weights=self.weights))


def fit_linear(examples: Examples, strength: float) -> dict[str, np.ndarray]:
    """Fits logistic regression for classes, ridge regression for numbers.

    Returns:
        `weight` and `bias`, rounded to seven digits, and for counts `idf`, for other features `mean` and `scale`.
    """
    with single_threaded_fit():
        found = _solve(examples, strength)
    return found | {key: _rounded(found[key]) for key in ("weight", "bias")}


def choose_strength(examples: Examples) -> float:
    """Chooses the regularization by cross-validation of some of the sequences."""
    grid = (C_SPARSE if examples.sparse else C_DENSE) if examples.classes else ALPHA_DENSE
    if examples.sparse and not examples.classes:
        grid = ALPHA_SPARSE
    weights = examples.weights
    rows = np.arange(len(examples.targets)) if weights is None else np.flatnonzero(weights)
    if examples.sparse:
        most = max(CHOICE_TEXTS // examples.outputs, 100)
    else:
        most = int(np.clip(CHOICE_WORK / (examples.outputs * examples.features.shape[1]), 100, CHOICE_ROWS))
    some = examples.take(np.sort(np.random.default_rng(0).permutation(rows)[:most]))
    folds = min(CHOICE_FOLDS, len(some.targets))
    if folds < FEWEST_FOLDS:
        return grid[len(grid) // 2]
    losses = [some.loss(cross_validate(some, folds, strength)) for strength in grid]
    return grid[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]


def cross_validate(examples: Examples, folds: int, strength: float) -> np.ndarray:
    """Outputs `(sequences, outputs)` of linear models that did not see the sequence."""
    found = np.zeros((len(examples.targets), examples.outputs))
    with single_threaded_fit():
        for train, test in examples.folds(folds):
            model, features = _solve(examples.take(train), strength), examples.features[test]
            if examples.sparse:
                features = tf_idf(features, model["idf"])
            else:
                features = (features - model["mean"]) / model["scale"]
            found[test] = np.asarray(features @ model["weight"]) + model["bias"]
    return found


def _solve(examples: Examples, strength: float) -> dict[str, np.ndarray]:
    """Weight, bias, and inverse document frequencies or mean and scale of a linear model."""
    from sklearn.linear_model import LogisticRegression, Ridge

    features, targets, weights, outputs, classes = examples
    extra: dict[str, np.ndarray]
    if examples.sparse:
        documents = np.asarray((features > 0).sum(0)).ravel()
        extra = {"idf": np.log((1 + features.shape[0]) / (1 + documents)) + 1}
        features = tf_idf(features, extra["idf"])
    else:
        mean, scale = features.mean(0), features.std(0)
        varies = scale > SAME * np.maximum(np.abs(mean), 1)
        extra = {"mean": mean, "scale": np.where(varies, scale, 1.0)}
        features = np.where(varies, (features - mean) / extra["scale"], 0.0)  # a constant feature gets the weight 0
    coefficients, bias = np.zeros((features.shape[1], outputs)), np.zeros(outputs)
    if not classes:
        model = Ridge(alpha=strength, solver="lsqr" if examples.sparse else "auto")
        model.fit(features, targets, sample_weight=weights)
        coefficients, bias = np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)
    elif targets.ndim == 2:
        for i, label in enumerate(targets.T > 0):
            if label.all() or not label.any():
                bias[i] = -ABSENT if label.all() else ABSENT
                continue
            model = LogisticRegression(C=strength, max_iter=200)
            model.fit(features, label, sample_weight=weights)
            coefficients[:, i], bias[i] = model.coef_[0], np.atleast_1d(model.intercept_)[0]
    else:
        known = np.unique(targets)
        bias[np.setdiff1d(np.arange(outputs), known)] = ABSENT
        if len(known) > 1:
            model = LogisticRegression(C=strength, max_iter=200)
            model.fit(features, targets, sample_weight=weights)
            columns = known[1:] if len(known) == 2 else known  # of two classes, one row of coefficients: the second
            coefficients[:, columns], bias[columns] = model.coef_.T, model.intercept_
    return {"weight": coefficients, "bias": bias, **extra}


def _rounded(values: np.ndarray) -> np.ndarray:
    """Seven digits, so that the numbers in the model folder are the same and short."""
    return np.array([float(f"{v:.7g}") for v in values.ravel().tolist()]).reshape(values.shape)


class Fitted(NamedTuple):
    """A linear model, the sequences that it was fitted on, and the strength of its regularization."""

    model: Linear
    examples: Examples
    strength: float


def fit_models(batches: Batches, problem: Problem) -> list[Fitted]:
    """Fits the linear models for a kind of sequences.

    Args:
        batches: training sequences; of many a random choice is taken.
        problem: the kind of the data.
    """
    some = choose(batches, problem)
    count, total = len(some.rows), len(batches.rows)
    note = f"fitted on {count:,} of {total:,} sequences" if count < total else ""
    targets, weights = [], []
    for batch in some:
        targets.append(batch.targets.numpy())  # type: ignore[union-attr]  # training batches have them
        if batch.weights is not None:
            weights.append(batch.weights.numpy().astype(np.float64))
    target, weight = np.concatenate(targets), np.concatenate(weights) if weights else None
    found = []
    for name, kind, make in _recipes(problem, int(some.store.lengths[some.rows].max(initial=1))):
        features, fields = make(some)
        if not features.shape[1]:  # texts without tokens
            continue
        examples = Examples(features, target, weight, problem.outputs, problem.classes)
        strength = choose_strength(examples)
        title = f"{'logistic' if problem.classes else 'ridge'} regression on {name}"
        model = kind(title, note, **fit_linear(examples, strength), **fields)
        found.append(Fitted(model, examples, strength))
    return found


def choose(batches: Batches, problem: Problem) -> Batches:
    """Chooses at random as many training sequences as linear models are fitted on at most."""
    text = problem.kind == "text"
    features = TOKENS_OF_A_TEXT if text else min(max(statistics_of(problem.width), RESAMPLED), _most_features(problem))
    most = int(np.clip(MAX_WORK / (features * problem.outputs), FEWEST_ROWS, MAX_ROWS))
    rows = np.random.default_rng(0).permutation(batches.rows)[:most]
    sizes = np.cumsum(batches.store.lengths[rows] * (1 if text else problem.width))
    enough = int(np.searchsorted(sizes, MAX_VALUES[problem.kind], "right"))
    rows = np.sort(rows[: max(enough, FEWEST_ROWS)])
    return Batches(batches.store, rows, batches.targets, batches.weights, batch_size=CHOICE_ROWS)


def _most_features(problem: Problem) -> int:
    """Returns the greatest number of features of a model."""
    return min(MAX_FEATURES if problem.kind != "text" else MAX_NGRAMS, max(MAX_WEIGHTS // problem.outputs, 50))


def _recipes(problem: Problem, longest: int) -> list[tuple[str, type[Linear], Callable[[Batches], tuple[Any, Any]]]]:
    """Returns name, class and features of the linear models for a kind of sequences of at most `longest` steps."""
    if problem.kind == "text":
        return [("TF-IDF", LinearOnNgrams, lambda batches: _ngram_features(batches, problem))]
    most = _most_features(problem)
    steps = max(1, min(longest, min(RESAMPLED, most) // problem.width))

    def on(function: Callable[..., np.ndarray], most: int) -> Callable[[Batches], tuple[Any, Any]]:
        return lambda batches: (
            np.concatenate([function(b.values.numpy(), b.lengths.numpy())[:, :most] for b in batches]),
            {},
        )

    def values(series: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return resampled(series, lengths, steps)

    audio = problem.kind == "audio"
    on_values = ("resampled spectra" if audio else "resampled values", LinearOnValues, on(values, most))
    if audio:
        on_statistics = "statistics of the spectra", LinearOnStatistics, on(summary, most)
    else:
        on_statistics = "statistics and spectrum", LinearOnSpectrum, on(summary_and_spectrum, most)
    return [on_values, on_statistics] if problem.width <= most else [on_statistics]


def _ngram_features(batches: Batches, problem: Problem) -> tuple[Any, dict[str, Any]]:
    """Counts the frequent n-grams of texts. Returns the counts and the fields of `LinearOnNgrams`."""
    tokens, order = problem.width, min(ORDERS[problem.tokens], greatest_order(problem.width + 1))
    texts, numbers, count = [], [], 0
    for batch in batches:
        text, number = ngrams(batch.values.numpy(), batch.lengths.numpy(), tokens, order)
        texts.append(text + count)
        numbers.append(number)
        count += len(batch.lengths)
    found = np.concatenate(texts), np.concatenate(numbers)
    known = frequent_ngrams(*found, _most_features(problem))
    return ngram_counts(*found, count, known), {"tokens": tokens, "order": order, "known": known}
