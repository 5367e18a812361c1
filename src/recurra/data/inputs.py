"""What a user may hand over as X or y, brought into three shapes: texts, arrays `(time, features)`, recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from recurra.errors import DataError

from .audio import Recordings, as_recordings, first_known, is_audio_name

CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Texts:
    """Texts, in a list or in a (memory-mapped) Arrow column; a missing text counts as empty."""

    rows: Sequence[str] | pa.ChunkedArray
    kind = "text"

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self, keep: np.ndarray | None = None) -> Iterator[list[str]]:
        """Yields lists of at most `CHUNK_ROWS` texts, in order; with `keep`, only the rows where it is True."""
        for start in range(0, len(self.rows), CHUNK_ROWS):
            part: Any = self.rows[start : start + CHUNK_ROWS]
            texts = [text or "" for text in (part.to_pylist() if isinstance(part, pa.ChunkedArray) else part)]
            yield texts if keep is None else list(compress(texts, keep[start : start + CHUNK_ROWS]))


@dataclass(frozen=True)
class Arrays:
    """Numeric sequences, each an array `(time, features)` of floating point numbers, NaN where one is missing."""

    rows: Sequence[np.ndarray]
    features: int
    kind = "series"

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return sum(int(np.isnan(row).sum()) for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Arrays:
        return Arrays(self.rows[part], self.features)

    def chunks(self, keep: np.ndarray | None = None) -> Iterator[list[np.ndarray]]:
        """Yields lists of at most `CHUNK_ROWS` arrays, in order; with `keep`, only the rows where it is True."""
        for start in range(0, len(self.rows), CHUNK_ROWS):
            part = self.rows[start : start + CHUNK_ROWS]
            yield list(part if keep is None else compress(part, keep[start : start + CHUNK_ROWS]))


def as_sequences(X: Any) -> Texts | Arrays | Recordings:
    """Recognises the sequences in `X`.

    Args:
        X: texts (list, array, pandas or Arrow column), or numeric sequences: a list of arrays
            `(time, features)` or `(time,)`, an array `(batch, time, features)` or `(batch, time)`, an Arrow
            column of lists. Tensors and anything with the Arrow C stream interface count as well. Or recordings:
            paths of sound files (`pathlib.Path`, or texts that end in .wav, .flac, …), or pairs
            `(samples, rate)`.

    Returns:
        `Texts`, `Arrays` or `Recordings`; what is one already comes back as it is.

    Raises:
        DataError: `X` is neither, or mixes both; the message names the row.

    Example:
        >>> as_sequences([[1.0, 2.0], [3.0]]).rows[0].shape
        (2, 1)
    """
    if isinstance(X, str | bytes):
        raise DataError("X is one text; hand over a list of texts, such as [text]")
    if isinstance(X, Texts | Arrays):
        return X
    X = _unwrap(X)
    if isinstance(X, pa.ChunkedArray):
        if _is_string(X.type):
            named = is_audio_name(first_known(X))
            return (as_recordings(X.to_pylist()) if named else None) or Texts(X)
        X = X.to_pylist()
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        if X.ndim not in (2, 3):
            raise DataError(
                f"a numeric X has 2 axes (batch, time) or 3 (batch, time, features), not {X.ndim}; "
                "for sequences of unequal length hand over a list of arrays"
            )
        values = X.reshape(*X.shape[:2], -1) if X.size else X.reshape(*X.shape[:2], *X.shape[2:] or (1,))
        return _finite(Arrays(list(_floating(values)), values.shape[2]))
    rows = list(X)
    if not rows:
        raise DataError("X is empty: there is nothing to learn from or to predict")
    if (recordings := as_recordings(rows)) is not None:
        return recordings
    if any(isinstance(row, str) for row in rows):
        return _texts(rows)
    if all(_is_missing(row) for row in rows):
        return Texts([""] * len(rows))
    return _arrays(rows)


def as_column(y: Any, rows: int, name: str) -> np.ndarray:
    """Brings one value per sequence into a numpy array of `rows` rows.

    Raises:
        DataError: the number of values is not the number of sequences.
    """
    y = _unwrap(y)
    values = y.to_numpy() if isinstance(y, pa.ChunkedArray) else np.asarray(y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if len(values) != rows:
        raise DataError(f"X has {rows:,} sequences but {name} has {len(values):,} values; they must pair up")
    return values


def is_missing(values: np.ndarray) -> np.ndarray:
    """True where a value is None, NaN or an empty text."""
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values.reshape(len(values), -1)).any(axis=1))
    if values.dtype.kind in "OUS":
        return np.fromiter((_is_missing(v) or v == "" for v in values), bool, len(values))
    return np.zeros(len(values), bool)


def _unwrap(X: Any) -> Any:
    """Data frames, series, tensors and Arrow arrays become a numpy array or an Arrow column."""
    if isinstance(X, pa.Array):
        return pa.chunked_array([X])
    if isinstance(X, pa.Table):
        return _only_column(X)
    if type(X).__module__.partition(".")[0] == "pandas":
        return _from_pandas(X)
    if hasattr(X, "detach") and hasattr(X, "cpu"):  # a tensor, without importing torch
        return X.detach().cpu().numpy()
    if not isinstance(X, pa.ChunkedArray) and hasattr(X, "__arrow_c_stream__"):
        try:
            return pa.chunked_array(X)
        except (TypeError, pa.ArrowInvalid, pa.ArrowTypeError):
            return _only_column(pa.table(X))
    return X


def _from_pandas(X: Any) -> Any:
    if X.ndim == 2:
        if X.shape[1] == 1:
            X = X.iloc[:, 0]
        elif all(kind in "biuf" for kind in (dtype.kind for dtype in X.dtypes)):
            return X.to_numpy()
        else:
            names = ", ".join(map(str, X.columns[:10]))
            raise DataError(f"X is a table of several columns ({names}); hand over the one that holds the sequences")
    return X.to_numpy()


def _only_column(table: pa.Table) -> pa.ChunkedArray:
    if table.num_columns != 1:
        names = ", ".join(table.column_names[:10])
        raise DataError(f"X is a table of several columns ({names}); hand over the one that holds the sequences")
    return table.column(0)


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_missing(value: Any) -> bool:
    # pandas.NA and NaT are recognised by name, without importing pandas
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _texts(rows: list[Any]) -> Texts:
    for i, row in enumerate(rows):
        if not isinstance(row, str) and not _is_missing(row):
            raise DataError(f"X[{i}] is not a text but {type(row).__name__}: {row!r:.60}")
    return Texts([row if isinstance(row, str) else "" for row in rows])


def _arrays(rows: list[Any]) -> Arrays:
    arrays: list[np.ndarray] = []
    for i, row in enumerate(rows):
        try:
            array = _floating(np.asarray(_unwrap(row)))
        except (TypeError, ValueError):
            raise DataError(f"X[{i}] is neither a text nor numbers of shape (time, features): {row!r:.60}") from None
        if array.ndim not in (1, 2):
            raise DataError(f"X[{i}] has shape {array.shape}; a sequence has shape (time,) or (time, features)")
        arrays.append(array)
    # an empty list has no feature axis of its own
    widths = [a.shape[1] if a.ndim == 2 else 1 for a in arrays if a.size]
    widths += [a.shape[1] for a in arrays if a.ndim == 2 and a.shape[1]]
    features = widths[0] if widths else 1
    for i, array in enumerate(arrays):
        if array.size and (array.shape[1] if array.ndim == 2 else 1) != features:
            raise DataError(f"X[{i}] has {array.shape[-1]} features where the first sequence has {features}")
    return _finite(Arrays([a.reshape(-1, features) for a in arrays], features))


def _floating(values: np.ndarray) -> np.ndarray:
    """The same values, where they are not floating point numbers already, in double precision."""
    if values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float64)  # scaling needs the digits of large values


def _finite(arrays: Arrays) -> Arrays:
    for i, row in enumerate(arrays.rows):
        if np.isinf(row).any():
            step, feature = np.argwhere(np.isinf(row))[0]
            raise DataError(f"X[{i}], step {step}, feature {feature} is {row[step, feature]}, not a finite number", i)
    return arrays
