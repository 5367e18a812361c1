"""The simple models of the many-to-one tasks: a constant, and linear models by scikit-learn on fixed features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.tasks.baselines import Baseline, single_threaded_fit

MAX_ROWS = 10_000
"""Sequences that a linear model is fitted on at most; of more, a random choice."""
MAX_WORK = 5e7
"""Sequences times features times outputs at most, so that a fit takes seconds."""
MAX_FEATURES = 4096
TOKENS_OF_A_TEXT = 50
"""Different tokens that a text may have, for the estimate of the work."""
QUANTILES = (0.25, 0.5, 0.75)
STATISTICS = 7 + len(QUANTILES)
"""Numbers that `summary` takes of each feature of a series."""


@dataclass(frozen=True)
class Constant(Baseline):
    """The same output for every sequence.

    Attributes:
        output: as the network gives it, `(outputs,)`.
    """

    output: np.ndarray

    constant: ClassVar[bool] = True
    axes: ClassVar = {"output": ("outputs",)}

    def __call__(self, values: Tensor, lengths: Tensor) -> Tensor:
        """`(batch, outputs)`."""
        return torch.from_numpy(self.output).float().expand(len(lengths), -1)


@dataclass(frozen=True)
class Linear(Baseline):
    """A linear model on features of a sequence.

    Attributes:
        weight: `(features, outputs)`.
        bias: `(outputs,)`.
    """

    weight: np.ndarray
    bias: np.ndarray

    axes: ClassVar = {"weight": ("features", "outputs"), "bias": ("outputs",)}

    def __call__(self, values: Tensor, lengths: Tensor) -> Tensor:
        """`(batch, outputs)`."""
        return torch.from_numpy(np.asarray(self.features(values, lengths) @ self.weight) + self.bias).float()

    def features(self, values: Tensor, lengths: Tensor) -> Any:
        """Features `(batch, features)` of padded sequences."""
        raise NotImplementedError


@dataclass(frozen=True)
class LinearOnSeries(Linear):
    """A linear model on summary statistics of each feature of a series."""

    def features(self, values: Tensor, lengths: Tensor) -> np.ndarray:
        """See `summary`; of very many features the first."""
        return summary(values.cpu().numpy(), lengths.numpy())[:, : len(self.weight)]


@dataclass(frozen=True)
class LinearOnTokens(Linear):
    """A linear model on the TF-IDF weights of a text's tokens.

    Attributes:
        idf: weight of each token, `(tokens,)`.
    """

    idf: np.ndarray

    axes: ClassVar = {"weight": ("features", "outputs"), "bias": ("outputs",), "idf": ("tokens",)}

    def features(self, values: Tensor, lengths: Tensor) -> Any:
        """Sublinear TF-IDF, each text of length 1: a sparse matrix `(batch, tokens)`."""
        return _tf_idf(token_counts(values.cpu().numpy(), lengths.numpy(), len(self.idf)), self.idf)


KINDS = (Constant, LinearOnSeries, LinearOnTokens)


def summary(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Statistics of padded series: mean, deviation, least, greatest, first, last, mean step, quartiles; the length.

    Args:
        values: `(batch, time, features)`.
        lengths: `(batch,)`; an empty series has 0 everywhere.

    Returns:
        `(batch, 1 + STATISTICS * features)`.

    Example:
        >>> summary(np.array([[[1.0], [2.0], [6.0]]]), np.array([3]))[0, :7].tolist()
        [3.0, 3.0, 2.160246899469287, 1.0, 6.0, 1.0, 6.0]
    """
    features = values.shape[2]
    found = np.zeros((len(values), 1 + STATISTICS * features))
    found[:, 0] = lengths
    for row, series, steps in zip(found, values, lengths.tolist(), strict=True):
        if not steps:
            continue
        real = series[:steps].astype(np.float64)
        step = np.abs(np.diff(real, axis=0)).mean(0) if steps > 1 else np.zeros(features)
        columns = [real.mean(0), real.std(0), real.min(0), real.max(0), real[0], real[-1], step]
        ordered = np.sort(real, axis=0)
        quartiles = [ordered[int(share * (steps - 1))] for share in QUANTILES]
        row[1:] = np.concatenate([*columns, *quartiles])
    return found


def token_counts(values: np.ndarray, lengths: np.ndarray, tokens: int) -> Any:
    """Counts the tokens of each text: a sparse matrix `(batch, tokens)` from padded token numbers."""
    from scipy.sparse import csr_matrix

    real = np.arange(values.shape[1]) < lengths[:, None]
    rows = np.repeat(np.arange(len(values)), lengths)
    ones = np.ones(len(rows))
    counts = csr_matrix((ones, (rows, values[real])), shape=(len(values), tokens))
    counts.sum_duplicates()
    return counts


class Examples(NamedTuple):
    """Features and targets of sequences, to fit linear models on.

    Attributes:
        features: `(sequences, features)`: a sparse matrix of token counts, or an array from `summary`.
        targets: numbers of classes `(sequences,)`, or numbers to predict `(sequences, outputs)`.
        weights: `(sequences,)`, or None.
        outputs: classes, or numbers to predict.
        classes: whether the targets are numbers of classes.
    """

    features: Any
    targets: np.ndarray
    weights: np.ndarray | None
    outputs: int
    classes: bool

    @classmethod
    def of(cls, batches: Iterable[Any], *, tokens: int, outputs: int, classes: bool) -> Examples:
        """Takes all sequences of some batches; `tokens` is the number of different tokens, 0 for series."""
        features: list[Any] = []
        targets, weights = [], []
        for batch in batches:
            values, lengths = batch.values.numpy(), batch.lengths.numpy()
            if tokens:
                features.append(token_counts(values, lengths, tokens))
            else:
                features.append(summary(values, lengths)[:, :MAX_FEATURES])
            targets.append(batch.targets.numpy())
            if batch.weights is not None:
                weights.append(batch.weights.numpy().astype(np.float64))
        if tokens:
            from scipy.sparse import vstack

            joined = vstack(features).tocsr()
        else:
            joined = np.concatenate(features)
        together = np.concatenate(weights) if weights else None
        return cls(joined, np.concatenate(targets), together, outputs, classes)

    def take(self, rows: np.ndarray) -> Examples:
        """Some of the sequences."""
        weights = None if self.weights is None else self.weights[rows]
        return self._replace(features=self.features[rows], targets=self.targets[rows], weights=weights)

    def folds(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to fit on and rows to predict, for each part of a cross-validation."""
        from sklearn.model_selection import KFold, StratifiedKFold

        sizes = np.bincount(self.targets) if self.classes else np.zeros(1, int)
        kind = StratifiedKFold if self.classes and sizes[sizes > 0].min() >= count else KFold
        rows = np.zeros(len(self.targets))
        return kind(count, shuffle=True, random_state=0).split(rows, self.targets if self.classes else None)

    @property
    def sparse(self) -> bool:
        """True if the features are counts of tokens."""
        return not isinstance(self.features, np.ndarray)


def fit_linear(examples: Examples, name: str, note: str) -> Linear:
    """Fits logistic regression for classes, ridge regression for numbers."""
    with single_threaded_fit():
        found = {key: _rounded(value) for key, value in _solve(examples).items()}
    return (LinearOnTokens if examples.sparse else LinearOnSeries)(name, note, **found)  # type: ignore[arg-type]


def cross_validate(examples: Examples, folds: int) -> np.ndarray:
    """Outputs `(sequences, outputs)` of linear models that did not see the sequence."""
    found = np.zeros((len(examples.targets), examples.outputs))
    with single_threaded_fit():
        for train, test in examples.folds(folds):
            model, features = _solve(examples.take(train)), examples.features[test]
            if examples.sparse:
                features = _tf_idf(features, model["idf"])
            found[test] = np.asarray(features @ model["weight"]) + model["bias"]
    return found


def _solve(examples: Examples) -> dict[str, np.ndarray]:
    """Weight, bias and, for tokens, inverse document frequencies of a linear model."""
    from sklearn.linear_model import LogisticRegression, Ridge

    features, targets, weights, outputs, classes = examples
    extra: dict[str, np.ndarray] = {}
    mean, scale = np.zeros(features.shape[1]), np.ones(features.shape[1])
    if examples.sparse:
        documents = np.asarray((features > 0).sum(0)).ravel()
        extra["idf"] = np.log((1 + features.shape[0]) / (1 + documents)) + 1
        features = _tf_idf(features, extra["idf"])
    else:
        mean, scale = features.mean(0), features.std(0)
        scale = np.where(scale > 1e-9 * np.abs(mean), scale, np.inf)  # a constant feature gets the weight 0
        features = (features - mean) / scale
    coefficients, bias = np.zeros((features.shape[1], outputs)), np.zeros(outputs)
    if not classes:
        model = Ridge(alpha=1.0, solver="lsqr" if examples.sparse else "auto")
        model.fit(features, targets, sample_weight=weights)
        coefficients, bias = np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)
    else:
        known = np.unique(targets)
        bias[np.setdiff1d(np.arange(outputs), known)] = -30.0  # a class that these sequences lack
        if len(known) > 1:
            model = LogisticRegression(C=10.0 if examples.sparse else 1.0, max_iter=200)
            model.fit(features, targets, sample_weight=weights)
            columns = known[1:] if len(known) == 2 else known  # of two classes, one row of coefficients: the second
            coefficients[:, columns], bias[columns] = model.coef_.T, model.intercept_
    coefficients = coefficients / scale[:, None]
    return {"weight": coefficients, "bias": bias - mean @ coefficients, **extra}


def _tf_idf(counts: Any, idf: np.ndarray) -> Any:
    from sklearn.preprocessing import normalize

    found = counts.copy()
    found.data = 1 + np.log(found.data)
    return normalize(found.multiply(idf).tocsr())


def _rounded(values: np.ndarray) -> np.ndarray:
    """Seven digits, so that the numbers in the model folder are the same and short."""
    return np.array([float(f"{v:.7g}") for v in values.ravel().tolist()]).reshape(values.shape)


def rows_to_fit(features: int, outputs: int) -> int:
    """Returns the largest number of sequences that a linear model is fitted on."""
    return int(np.clip(MAX_WORK / max(features * outputs, 1), 200, MAX_ROWS))
