"""Converts X and y of any type to one of three forms: texts, arrays `(time, features)` or recordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from recurra.data.files.audio import Recordings, as_recordings, first_known, is_audio_name
from recurra.errors import DataError

from .frames import (
    from_arrow,
    from_pandas,
    loaded,
    matrix_of,
    names_of,
    order_of,
    refuse_complex,
    refuse_times,
    step_names_of,
)

CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Texts:
    """Texts in a list or in a (memory-mapped) Arrow column. A missing text is replaced by an empty one."""

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
    """Numeric sequences, each an array `(time, features)` of floating point numbers, with NaN for missing values.

    Attributes:
        rows: the arrays.
        features: number of features.
        names: names of the features if the sequences were data frames, else None.
        columns: number of columns if the sequences were the rows of a table, else None.
        step_names: names of these columns, if they have any.
    """

    rows: Sequence[np.ndarray]
    features: int
    names: tuple[str, ...] | None = None
    columns: int | None = None
    step_names: tuple[str, ...] | None = None
    kind = "series"

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return sum(int(np.isnan(row).sum()) for row in self.rows)

    @property
    def without_values(self) -> list[int]:
        """Positions of the sequences that have steps, but no value in them."""
        return [i for i, row in enumerate(self.rows) if row.size and bool(np.isnan(row).all())]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Arrays:
        return replace(self, rows=self.rows[part])

    def in_order_of(self, names: Sequence[str] | None, *, steps: bool = False) -> Arrays:
        """Returns the sequences with their features in the order of `names`; arrays without names do not change.

        Args:
            names: names of the features, or None for no change.
            steps: whether they name the steps of the sequences, which are the columns of a table.

        Raises:
            DataError: the names differ. The message lists them.
        """
        own = self.step_names if steps else self.names
        if names is None or own is None or tuple(names) == own:
            return self
        order = order_of(own, names, "X")
        if steps:
            return replace(self, rows=[row[order] for row in self.rows], step_names=tuple(names))
        return replace(self, rows=[row[:, order] for row in self.rows], names=tuple(names))

    def chunks(self, keep: np.ndarray | None = None) -> Iterator[list[np.ndarray]]:
        """Yields lists of at most `CHUNK_ROWS` arrays, in order; with `keep`, only the rows where it is True."""
        for start in range(0, len(self.rows), CHUNK_ROWS):
            part = self.rows[start : start + CHUNK_ROWS]
            yield list(part if keep is None else compress(part, keep[start : start + CHUNK_ROWS]))


def as_sequences(X: Any) -> Texts | Arrays | Recordings:
    """Converts `X` to sequences.

    Args:
        X: texts: a list, array, pandas or Arrow column.
            Or numeric sequences: a list of arrays `(time, features)` or `(time,)`, an array `(batch, time, features)`
            or `(batch, time)`, or an Arrow column of lists.
            Or recordings: paths of audio files (`pathlib.Path`, or texts that end in .wav, .flac, …), or pairs
            `(samples, rate)`.
            Tensors and objects with the Arrow C stream interface are supported too.

    Returns:
        `Texts`, `Arrays` or `Recordings`; an input of one of these types is returned unchanged.

    Raises:
        DataError: `X` is none of these, or mixes them. The message names the row.

    Example:
        >>> as_sequences([[1.0, 2.0], [3.0]]).rows[0].shape
        (2, 1)
    """
    if isinstance(X, str | bytes):
        raise DataError("X is one text; pass a list of texts, such as [text]")
    if isinstance(X, Texts | Arrays | Recordings):
        return X
    step_names = step_names_of(X)
    X = _unwrap(_ordered(X, "X"))
    if isinstance(X, pa.ChunkedArray):
        if _is_string(X.type):
            named = is_audio_name(first_known(X))
            return (as_recordings(X.to_pylist()) if named else None) or Texts(X)
        X = X.to_pylist()
    if isinstance(X, np.ndarray):
        refuse_complex(X, "X")
        refuse_times(X, "X")
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        if X.ndim not in (2, 3):
            raise DataError(
                f"Reshape your data: a numeric X has 2 axes (batch, time) or 3 (batch, time, features), not {X.ndim}; "
                "for sequences of unequal length pass a list of arrays"
            )
        values = X.reshape(*X.shape[:2], -1) if X.size else X.reshape(*X.shape[:2], *X.shape[2:] or (1,))
        columns = X.shape[1] if X.ndim == 2 else None
        return _finite(Arrays(list(_floating(values)), values.shape[2], None, columns, step_names))
    if not isinstance(X, Iterable) or getattr(X, "ndim", 1) == 0:
        raise DataError(f"X is {_kind(X)}; pass a list of texts or of arrays (time, features)")
    rows = list(X)
    if not rows:
        raise DataError("X is empty: there is nothing to learn from or to predict")
    if (recordings := as_recordings(rows)) is not None:
        return recordings
    if any(isinstance(row, str) for row in rows):
        return _texts(rows)
    if all(is_missing_value(row) for row in rows):
        return Texts([""] * len(rows))
    return _arrays(rows)


def texts_of(X: Any) -> list[str]:
    """Returns the texts of a list or column; a missing text is replaced by an empty one.

    Raises:
        DataError: `X` holds numbers or recordings.

    Example:
        >>> texts_of(pa.chunked_array([["a", None]]))
        ['a', '']
    """
    sequences = as_sequences(X)
    if not isinstance(sequences, Texts):
        raise DataError(f"the model takes texts, not {'recordings' if sequences.kind == 'audio' else 'numbers'}")
    return [text for chunk in sequences.chunks() for text in chunk]


def as_column(y: Any, rows: int, name: str) -> np.ndarray:
    """Converts one value per sequence to a numpy array of `rows` rows.

    Raises:
        DataError: the number of values is not the number of sequences.
    """
    y = _unwrap(_ordered(y, name))
    values = y.to_numpy() if isinstance(y, pa.ChunkedArray) else _one_array(y, name)
    refuse_complex(values, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 0:
        raise DataError(f"{name} is one value, {values.item()!r:.40}; pass one value for each of {rows:,} sequences")
    if len(values) != rows:
        raise DataError(f"X has {rows:,} sequences but {name} has {len(values):,} values; they must pair up")
    return values


def _ordered(values: Any, name: str) -> Any:
    """Returns the values, as a list if they are an iterator.

    Raises:
        DataError: the values are None, or their type has no order.
    """
    values = loaded(values, name)
    if isinstance(values, Iterator):
        return list(values)
    if values is None:
        if name == "y":
            raise DataError("this estimator requires y to be passed, but the target y is None")
        raise DataError(f"{name} is None; pass one {'sequence' if name == 'X' else 'value'} for each row")
    if isinstance(values, str | bytes | Mapping | Set) or hasattr(values, "tocsr"):
        advice = "call toarray() first" if hasattr(values, "tocsr") else "pass a list or an array"
        raise DataError(f"{name} is {_kind(values)}; {advice}")
    return values


def _kind(value: Any) -> str:
    if hasattr(value, "tocsr"):
        return "a sparse matrix"
    if isinstance(value, Set):
        return "a set, which has no order"
    if isinstance(value, Mapping):
        return "a dictionary"
    return "one text" if isinstance(value, str | bytes) else f"one value of type {type(value).__name__}"


def _one_array(values: Any, name: str) -> np.ndarray:
    """Converts a list of values to an array. Unlike in numpy, numbers in a list with texts stay numbers."""
    if isinstance(values, list | tuple):
        texts = sum(isinstance(value, str) for value in values)
        if 0 < texts < len(values):
            found = np.empty(len(values), object)
            found[:] = values
            return found
    try:
        return np.asarray(values)
    except ValueError:
        sizes = [len(value) if hasattr(value, "__len__") else 1 for value in values]
        row = next((i for i, size in enumerate(sizes) if size != sizes[0]), 0)
        raise DataError(
            f"{name} holds lists of unequal length: {sizes[0]} values in row 0, {sizes[row]} in row {row}; "
            "a sequence has one target (a classifier also takes a list of labels for each sequence)"
        ) from None


def is_empty(values: Any) -> bool:
    """Returns whether values have the length 0."""
    try:
        return len(values) == 0
    except TypeError:
        return False


def is_missing(values: np.ndarray) -> np.ndarray:
    """Returns an array that is True where a value is None, NaN or an empty text."""
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values.reshape(len(values), -1)).any(axis=1))
    if values.dtype.kind in "OUS":
        if values.ndim > 1:
            return np.fromiter((any(_is_absent(v) for v in row.flat) for row in values), bool, len(values))
        return np.fromiter(map(_is_absent, values), bool, len(values))
    return np.zeros(len(values), bool)


def _is_absent(value: Any) -> bool:
    return is_missing_value(value) or (isinstance(value, str) and value == "")


def _unwrap(X: Any) -> Any:
    """Converts data frames, series, tensors and Arrow arrays to a numpy array or an Arrow column."""
    X = loaded(X, "X")
    if isinstance(X, pa.Array):
        return pa.chunked_array([X])
    if isinstance(X, pa.Table):
        return from_arrow(X)
    if type(X).__module__.partition(".")[0] == "pandas":
        return from_pandas(X)
    if hasattr(X, "detach") and hasattr(X, "cpu"):  # a tensor, without importing torch
        return _from_tensor(X)
    if isinstance(X, np.ma.MaskedArray):
        return _unmasked(X)
    if not isinstance(X, pa.ChunkedArray) and hasattr(X, "__arrow_c_stream__"):
        column = pa.chunked_array(X)
        # a data frame is a column of structures
        return from_arrow(pa.Table.from_struct_array(column)) if pa.types.is_struct(column.type) else column
    if not isinstance(X, np.ndarray | np.generic | Iterable) and hasattr(X, "__array__"):
        return np.asarray(X)
    return X


def _from_tensor(X: Any) -> np.ndarray:
    if X.is_nested or not str(X.layout).endswith("strided") or X.device.type == "meta":
        kind = "nested" if X.is_nested else "on the device meta" if X.device.type == "meta" else str(X.layout)
        raise DataError(f"a tensor is {kind}; pass a dense tensor with numbers, or a list of tensors")
    X = X.detach().cpu().resolve_conj().resolve_neg()
    return (X.float() if str(X.dtype) == "torch.bfloat16" else X).numpy()


def _unmasked(X: np.ma.MaskedArray) -> np.ndarray:
    """Converts a masked array to a plain one, with NaN for masked numbers."""
    if not np.ma.is_masked(X):
        return X.data
    plain = X.data.astype(np.float64 if X.dtype.kind in "biuf" else object)
    plain[np.ma.getmaskarray(X)] = np.nan if X.dtype.kind in "biuf" else None
    return plain


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_missing_value(value: Any) -> bool:
    """Returns whether a value is None, NaN, or NA or NaT of pandas."""
    # pandas.NA and NaT are recognised by name, without importing pandas
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _texts(rows: list[Any]) -> Texts:
    for i, row in enumerate(rows):
        if not isinstance(row, str) and not is_missing_value(row):
            raise DataError(f"X[{i}] is not a text but {type(row).__name__}: {row!r:.60}")
    return Texts([row if isinstance(row, str) else "" for row in rows])


def _arrays(rows: list[Any]) -> Arrays:
    arrays: list[np.ndarray] = []
    names = names_of(rows[0])
    for i, row in enumerate(rows):
        found = names_of(row)
        if (found is None) != (names is None):
            raise DataError(
                f"X[{i}] {'has no' if found is None else 'has'} column names, unlike X[0]; give all or none"
            )
        try:
            array = _numbers_of(row, f"X[{i}]")
        except DataError:
            raise
        except (TypeError, ValueError):
            raise DataError(f"X[{i}] is neither a text nor numbers of shape (time, features): {row!r:.60}") from None
        if array.ndim not in (1, 2):
            raise DataError(f"X[{i}] has shape {array.shape}; a sequence has shape (time,) or (time, features)")
        if names is not None and found is not None and found != names:
            array = array[:, order_of(found, names, f"X[{i}]")]
        arrays.append(array)
    # an empty list has no feature axis
    widths = [a.shape[1] if a.ndim == 2 else 1 for a in arrays if a.size]
    widths += [a.shape[1] for a in arrays if a.ndim == 2 and a.shape[1]]
    features = widths[0] if widths else 1
    for i, array in enumerate(arrays):
        if array.size and (array.shape[1] if array.ndim == 2 else 1) != features:
            raise DataError(f"X[{i}] has {array.shape[-1]} features where the first sequence has {features}")
    return _finite(Arrays([a.reshape(-1, features) for a in arrays], features, names))


def _numbers_of(row: Any, name: str) -> np.ndarray:
    """Converts one sequence to floating point numbers."""
    if type(row).__module__.partition(".")[0] == "pandas" and row.ndim == 2:
        return matrix_of(row, name)
    if isinstance(row, pa.Table):
        columns = [column.to_numpy() for column in row.columns]
        array = np.stack(columns, 1) if columns else np.zeros((len(row), 0))
    else:
        array = np.asarray(row.to_numpy() if names_of(row) else _unwrap(row))
    refuse_complex(array, name)
    refuse_times(array, name)
    return _floating(array)


def _floating(values: np.ndarray) -> np.ndarray:
    """Returns floating point numbers unchanged, and other numbers in double precision."""
    if values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float64)  # scaling needs the precision for large values


def _finite(arrays: Arrays) -> Arrays:
    for i, row in enumerate(arrays.rows):
        if np.isinf(row).any():
            step, feature = np.argwhere(np.isinf(row))[0]
            raise DataError(f"X[{i}], step {step}, feature {feature} is {row[step, feature]}, not a finite number", i)
    return arrays
