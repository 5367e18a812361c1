"""Data sets of the experiments: embedded samples, and synthetic waves whose class depends only on the order."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import numpy as np

from recurra.data.columns.inputs import Texts, as_column, as_sequences
from recurra.data.files.audio import Recordings
from recurra.data.readers.tables import read_table
from recurra.errors import DataError


class Labelled(NamedTuple):
    """Labelled sequences for training and for testing."""

    name: str
    x: Sequence[Any]
    y: np.ndarray
    x_test: Sequence[Any]
    y_test: np.ndarray


def reviews(rows: int | None = None) -> Labelled:
    """Returns Korean film reviews, good or bad: the embedded sample of NSMC (see its README), or its first rows."""
    parts: list[Any] = []
    with as_file(files("recurra.data") / "samples" / "nsmc") as folder:
        for part in ("train", "test"):
            table = read_table(folder / f"{part}.tsv", ["document", "label"]).table
            columns = [column.to_pylist()[:rows] for column in table.columns]
            parts += [columns[0], np.array(columns[1], dtype=str)]
    return Labelled("film reviews", *parts)


def play() -> tuple[str, str]:
    """Returns 100,000 characters of Shakespeare: the training and the test text of the embedded sample."""
    home = files("recurra.data") / "samples" / "generate"
    train, test = ((home / f"{part}.txt").read_text(encoding="utf-8") for part in ("train", "test"))
    return train, test


def sawteeth(rows: int | None = None, seed: int = 0) -> Labelled:
    """Generates noisy waves that rise slowly and fall fast, or the reverse.

    A wave of one class is a wave of the other class in reverse, so the set of values does not depend on the class.

    Example:
        >>> data = sawteeth(10)
        >>> len(data.x), data.x[0].shape[1], sorted(set(data.y.tolist()))
        (10, 1, ['falls slowly', 'rises slowly'])
    """
    random = np.random.default_rng(seed)

    def make(rows: int) -> tuple[list[np.ndarray], np.ndarray]:
        labels = np.array(["rises slowly", "falls slowly"])[random.integers(0, 2, rows)]
        found = []
        for label in labels:
            steps, period = int(random.integers(30, 61)), random.uniform(8, 16)
            wave = (np.arange(steps) / period + random.uniform()) % 1
            wave = wave if label == "rises slowly" else wave[::-1]
            found.append((wave + random.normal(scale=0.2, size=steps))[:, None].astype(np.float32))
        return found, labels

    rows = rows or 400
    return Labelled("sawteeth", *make(rows), *make(rows))


def fitted(estimator: Any, *data: Any) -> Any:
    """Trains the estimator. Ctrl-C stops the whole experiment, not only this training."""
    estimator.fit(*data)
    if estimator.interrupted_:
        raise KeyboardInterrupt
    return estimator


def own(X: Any, y: Any, test: tuple[Any, Any] | None, seed: int) -> Labelled:
    """Returns the data of a user. A fifth is held out if there is no test data.

    Raises:
        DataError: there are too few sequences, or their type is not supported.
    """
    sequences, labels = _columns(X, y)
    if test is not None:
        return Labelled("own data", sequences, labels, *_columns(*test))
    kept, aside = set_aside(len(sequences), seed)
    parts = ([sequences[i] for i in kept], labels[kept], [sequences[i] for i in aside], labels[aside])
    return Labelled("own data", *parts)


def set_aside(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits `count` items into training items and a fifth for testing; returns their indices.

    Raises:
        DataError: there are fewer than five.
    """
    if count < 5:
        raise DataError(f"a fifth is held out for testing, which needs at least 5 items; got {count}")
    aside, kept = np.split(np.random.default_rng(seed).permutation(count), [count // 5])
    return np.sort(kept), np.sort(aside)


def rows_of(X: Any) -> list[Any]:
    """Returns sequences as a list of texts or of arrays `(time, features)`.

    Raises:
        DataError: the sequences are neither texts nor numbers.
    """
    found = as_sequences(X)
    if isinstance(found, Recordings):
        raise DataError("X holds recordings; take texts or numeric sequences")
    return [row for chunk in found.chunks() for row in chunk] if isinstance(found, Texts) else list(found.rows)


def _columns(X: Any, y: Any) -> tuple[list[Any], np.ndarray]:
    rows = rows_of(X)
    return rows, as_column(y, len(rows), "y")
