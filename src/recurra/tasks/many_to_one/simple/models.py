"""The simple models of the many-to-one tasks: a constant, and linear models on fixed features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.tasks.baselines import Baseline

from .features import BANDS, STATISTICS, ngram_counts, ngrams, resampled, spectral, summary, tf_idf, token_counts

MAX_FEATURES = 4096
"""Statistics of a series that a model reads at most."""


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
        found = self.features(values.cpu().numpy(), lengths.cpu().numpy())
        return torch.from_numpy(np.asarray(found @ self.weight) + self.bias).float()

    def features(self, values: np.ndarray, lengths: np.ndarray) -> Any:
        """Features `(batch, features)` of padded sequences."""
        raise NotImplementedError


@dataclass(frozen=True)
class LinearOnSeries(Linear):
    """A linear model on summary statistics of each feature of a series. Models of earlier versions contain it."""

    def features(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """See `summary`; of very many features the first."""
        return summary(values, lengths)[:, : len(self.weight)]


@dataclass(frozen=True)
class Standardized(Linear):
    """A linear model on standardized features; of very many features the first.

    Attributes:
        mean: of each feature, `(features,)`.
        scale: what each feature is divided by, `(features,)`.
    """

    mean: np.ndarray
    scale: np.ndarray

    axes: ClassVar = {"bias": ("outputs",)}

    def features(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Standardized features `(batch, features)` of padded sequences."""
        return (self.extract(values, lengths)[:, : len(self.mean)] - self.mean) / self.scale

    def extract(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Features before they are standardized, `(batch, features)` or more."""
        raise NotImplementedError

    def check(self, sizes: Mapping[str, int]) -> None:
        """See `Baseline.check`."""
        super().check(sizes)
        shape = self.weight.shape
        if len(shape) != 2 or shape[1] != sizes["outputs"] or not self._fits(shape[0], sizes["width"]):
            raise ValueError(f"weight of the baseline {self.name!r} has shape {shape}, which does not fit the series")
        if not self.mean.shape == self.scale.shape == shape[:1] or not (self.scale > 0).all():
            raise ValueError(f"mean or scale of the baseline {self.name!r} does not fit its weights")

    def _fits(self, features: int, width: int) -> bool:
        """Returns whether steps of `width` features can give so many features."""
        raise NotImplementedError


@dataclass(frozen=True)
class LinearOnStatistics(Standardized):
    """A linear model on summary statistics of each feature of a series."""

    def extract(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """See `summary`."""
        return summary(values, lengths)

    def _fits(self, features: int, width: int) -> bool:
        return 1 <= features <= 1 + STATISTICS * width


@dataclass(frozen=True)
class LinearOnSpectrum(Standardized):
    """A linear model on summary statistics, slope and spectrum of each feature of a series."""

    def extract(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """See `summary_and_spectrum`."""
        return summary_and_spectrum(values, lengths)

    def _fits(self, features: int, width: int) -> bool:
        return 1 <= features <= statistics_of(width)


@dataclass(frozen=True)
class LinearOnValues(Standardized):
    """A linear model on the values of a series, resampled to the same number of steps."""

    def extract(self, values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """See `resampled`."""
        return resampled(values, lengths, len(self.mean) // values.shape[2])

    def _fits(self, features: int, width: int) -> bool:
        return features > 0 and features % width == 0


@dataclass(frozen=True)
class LinearOnTokens(Linear):
    """A linear model on the TF-IDF weights of a text's tokens. Models of earlier versions contain it.

    Attributes:
        idf: weight of each token, `(tokens,)`.
    """

    idf: np.ndarray

    axes: ClassVar = {"weight": ("tokens", "outputs"), "bias": ("outputs",), "idf": ("tokens",)}

    def features(self, values: np.ndarray, lengths: np.ndarray) -> Any:
        """See `tf_idf`: a sparse matrix `(batch, tokens)`."""
        return tf_idf(token_counts(values, lengths, len(self.idf)), self.idf)


@dataclass(frozen=True)
class LinearOnNgrams(Linear):
    """A linear model on the TF-IDF weights of a text's n-grams of tokens.

    Attributes:
        tokens: number of different tokens.
        order: tokens of an n-gram at most.
        known: the n-grams by number, see `ngrams`; rising, `(n-grams,)`.
        idf: weight of each, `(n-grams,)`.
    """

    tokens: int
    order: int
    known: np.ndarray
    idf: np.ndarray

    axes: ClassVar = {"bias": ("outputs",)}

    def features(self, values: np.ndarray, lengths: np.ndarray) -> Any:
        """See `tf_idf`: a sparse matrix `(batch, n-grams)`."""
        found = ngrams(values, lengths, self.tokens, self.order)
        return tf_idf(ngram_counts(*found, len(values), self.known), self.idf)

    def check(self, sizes: Mapping[str, int]) -> None:
        """See `Baseline.check`."""
        super().check(sizes)
        known, base = self.known, sizes["tokens"] + 1
        if self.tokens != sizes["tokens"] or not 1 <= self.order <= greatest_order(base):
            raise ValueError(f"the n-grams of the baseline {self.name!r} are of other tokens")
        if known.ndim != 1 or known.dtype.kind != "i" or not len(known) or (np.diff(known) <= 0).any():
            raise ValueError("the numbers of the n-grams must be whole and rise")
        if known[0] < 1 or known[-1] >= base**self.order:
            raise ValueError("the number of an n-gram is out of range")
        if self.idf.shape != known.shape or self.weight.shape != (len(known), sizes["outputs"]):
            raise ValueError(f"weight or idf of the baseline {self.name!r} does not fit its {len(known)} n-grams")


KINDS = (
    Constant,
    LinearOnSeries,
    LinearOnStatistics,
    LinearOnSpectrum,
    LinearOnValues,
    LinearOnTokens,
    LinearOnNgrams,
)


def greatest_order(base: int) -> int:
    """Returns how many digits to a base fit into a whole number of 62 bits."""
    order = 1
    while base ** (order + 1) < 2**62 and order < 8:
        order += 1
    return order


def summary_and_spectrum(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns `summary` and `spectral` together, `(batch, statistics_of(features))`."""
    return np.concatenate([summary(values, lengths), spectral(values, lengths)], 1)


def statistics_of(features: int) -> int:
    """Returns how many numbers `summary_and_spectrum` takes of a series."""
    return 1 + (STATISTICS + 1 + BANDS) * features


class Problem(NamedTuple):
    """Properties of the data that decide which linear models are fitted.

    Attributes:
        kind: kind of the sequences: `"text"`, `"series"` or `"audio"`.
        tokens: kind of the tokens of texts, see `TextEncoder`.
        width: different tokens, or features of a step.
        outputs: classes, or numbers to predict.
        classes: whether the targets are numbers of classes.
    """

    kind: str
    tokens: str
    width: int
    outputs: int
    classes: bool

    def sizes(self) -> dict[str, int]:
        """See `Estimator._baseline_sizes`."""
        text = self.kind == "text"
        return {
            "tokens": self.width if text else 0,
            "features": min(1 + STATISTICS * self.width, MAX_FEATURES),
            "width": self.width,
            "outputs": self.outputs,
        }
