"""Fixed features of sequences for linear models: statistics, resampled values, spectra, n-grams of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

QUANTILES = (0.25, 0.5, 0.75)
STATISTICS = 7 + len(QUANTILES)
"""Numbers that `summary` takes of each feature of a series."""
BANDS = 24
"""Frequency bands of `spectral`."""
LOWEST, HIGHEST = 1 / 512, 1 / 2
"""Cycles per step: upper end of the first band, and of the last one."""
FLOOR = 1e-6
"""Power that is added before the logarithm; the values are standardized."""


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


def resampled(values: np.ndarray, lengths: np.ndarray, steps: int) -> np.ndarray:
    """Divides padded series into parts of equal length and returns the mean of each part.

    Args:
        values: `(batch, time, features)`.
        lengths: `(batch,)`; an empty series has 0 everywhere.
        steps: number of parts; a series of as many steps is not changed.

    Returns:
        `(batch, steps * features)`.

    Example:
        >>> resampled(np.array([[[1.0], [2.0], [6.0], [8.0]]]), np.array([4]), 2).tolist()
        [[1.5, 7.0]]
    """
    found = np.zeros((len(values), steps, values.shape[2]))
    for row, series, length in zip(found, values, lengths.tolist(), strict=True):
        if length:
            row[:] = _means(series[:length].astype(np.float64), np.linspace(0, length, steps + 1))
    return found.reshape(len(values), -1)


def spectral(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Slope of padded series, and the logarithm of the power in `BANDS` frequency bands, by a periodogram.

    Args:
        values: `(batch, time, features)`.
        lengths: `(batch,)`; an empty series has 0 everywhere.

    Returns:
        `(batch, (1 + BANDS) * features)`.
    """
    edges = np.concatenate([[0.0], np.geomspace(LOWEST, HIGHEST, BANDS)])
    found = np.zeros((len(values), 1 + BANDS, values.shape[2]))
    for row, series, length in zip(found, values, lengths.tolist(), strict=True):
        if not length:
            continue
        real = series[:length].astype(np.float64)
        time = np.linspace(-0.5, 0.5, length)
        row[0] = time @ real / max((time**2).sum(), 1e-300)
        power = np.abs(np.fft.rfft(real - real.mean(0), axis=0)) ** 2 / length
        # the power at a frequency is constant within half a bin
        row[1:] = np.log(np.maximum(_means(power, np.minimum(edges * length + 0.5, len(power))), 0) + FLOOR)
    return found.reshape(len(values), -1)


def _means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means of a function that is constant in each step, between rising positions.

    Args:
        values: the function in each step, `(steps, features)`.
        edges: positions between 0 and the number of steps, `(parts + 1,)`.

    Returns:
        `(parts, features)`; an empty part has the value at its position.
    """
    step = np.minimum(edges.astype(np.int64), len(values) - 1)
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    integral = total[step] + (edges - step)[:, None] * values[step]
    width = np.diff(edges)[:, None]
    return np.where(width > 1e-9, np.diff(integral, axis=0) / np.maximum(width, 1e-9), values[step[1:]])


def token_counts(values: np.ndarray, lengths: np.ndarray, tokens: int) -> Any:
    """Counts the tokens of each text: a sparse matrix `(batch, tokens)` from padded token numbers."""
    real = np.arange(values.shape[1]) < lengths[:, None]
    return _count(np.repeat(np.arange(len(values)), lengths), values[real], (len(values), tokens))


def ngrams(values: np.ndarray, lengths: np.ndarray, tokens: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the n-grams of each text.

    The number of an n-gram has its tokens, counted from 1, as digits to the base `tokens + 1`.

    Args:
        values: padded token numbers, `(batch, time)`.
        lengths: tokens of each text, `(batch,)`.
        tokens: number of different tokens.
        order: tokens of an n-gram at most.

    Returns:
        Text and number of each n-gram, `(n-grams,)` each.

    Example:
        >>> ngrams(np.array([[0, 1, 1]]), np.array([3]), 2, 2)[1].tolist()
        [1, 2, 2, 5, 8]
    """
    text = np.repeat(np.arange(len(values)), lengths)
    flat = values[np.arange(values.shape[1]) < lengths[:, None]].astype(np.int64) + 1
    keys, texts, numbers = flat, [text], [flat]
    for size in range(2, order + 1):
        keys = keys[:-1] * (tokens + 1) + flat[size - 1 :]
        inside = text[: len(keys)] == text[size - 1 :]
        texts.append(text[: len(keys)][inside])
        numbers.append(keys[inside])
    return np.concatenate(texts), np.concatenate(numbers)


def frequent_ngrams(texts: np.ndarray, numbers: np.ndarray, most: int) -> np.ndarray:
    """Returns the n-grams that most texts contain, at least two, as rising numbers.

    Args:
        texts: text of each n-gram, `(n-grams,)`.
        numbers: its number, `(n-grams,)`.
        most: n-grams that are returned at most.
    """
    order = np.lexsort((texts, numbers))
    texts, numbers = texts[order], numbers[order]
    first = np.ones(len(numbers), bool)  # the first of an n-gram in a text
    first[1:] = (np.diff(numbers) != 0) | (np.diff(texts) != 0)
    known, documents = np.unique(numbers[first], return_counts=True)
    if (documents > 1).any():
        known, documents = known[documents > 1], documents[documents > 1]
    return np.sort(known[np.argsort(-documents, kind="stable")[:most]])


def ngram_counts(texts: np.ndarray, numbers: np.ndarray, count: int, known: np.ndarray) -> Any:
    """Counts known n-grams in each text: a sparse matrix `(count, known)`.

    Args:
        texts: text of each n-gram, `(n-grams,)`.
        numbers: its number, `(n-grams,)`.
        count: number of texts.
        known: numbers of the n-grams that count, rising.
    """
    at = np.minimum(np.searchsorted(known, numbers), max(len(known) - 1, 0))
    found = known[at] == numbers if len(known) else np.zeros(len(numbers), bool)
    return _count(texts[found], at[found], (count, len(known)))


def tf_idf(counts: Any, idf: np.ndarray) -> Any:
    """Sublinear TF-IDF of counts `(texts, features)`, each text of length 1."""
    from sklearn.preprocessing import normalize

    found = counts.copy()
    found.data = 1 + np.log(found.data)
    return normalize(found.multiply(idf).tocsr())


def _count(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Any:
    """Returns a sparse matrix with the number of times that each place occurs."""
    from scipy.sparse import csr_matrix

    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    counts.sum_duplicates()
    return counts
