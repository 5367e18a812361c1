"""Reads NumPy archives (`.npz`) of numeric sequences."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from recurra.errors import DataError

from .files import refuse_no_file
from .inputs import Arrays, as_sequences
from .measured import MeasuredFile
from .wording import listed

_WANTED = (
    "It should hold X of shape (batch, time, features) or (batch, time), or for sequences of unequal length values of "
    "shape (steps, features), one sequence behind the other, with lengths of shape (batch,); and y with the targets."
)


def read_npz(path: str | os.PathLike[str]) -> MeasuredFile:
    """Reads sequences and targets from an archive written by `numpy.savez` or `numpy.savez_compressed`.

    The names are `X`, or `values` with `lengths`, and `y` where there are targets. Nothing pickled is read.

    Raises:
        DataError: the file is no such archive, lacks an array, or the arrays do not fit together.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "steps.npz")
        ...     np.savez(path, values=np.arange(5.0), lengths=[2, 3], y=["a", "b"])
        ...     file = read_npz(path)
        >>> [row.ravel().tolist() for row in file.sequences.rows], file.targets.tolist()
        ([[0.0, 1.0], [2.0, 3.0, 4.0]], ['a', 'b'])
    """
    path = Path(path)
    refuse_no_file(path)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path.name} is no NumPy archive of named arrays, as numpy.savez writes\n{_WANTED}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("X", "values", "lengths", "y") if name in archive.files}
            names = archive.files
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError) as error:
        if "pickle" in str(error):
            raise DataError(
                f"{path.name} holds pickled objects, which can run code and are not read\n{_WANTED}"
            ) from None
        raise DataError(f"cannot read {path} as a NumPy archive: {error}") from None
    sequences = _sequences(path, found, names)
    return MeasuredFile(path, sequences, (), _targets(path, found, len(sequences)), lambda row: _where(path, row))


def _where(path: Path, row: int) -> str:
    return f"{path.name}, sequence {row + 1}"


def _sequences(path: Path, found: dict[str, np.ndarray], names: list[str]) -> Arrays:
    if "X" in found:
        X = found["X"]
        if X.dtype.kind not in "biuf" or X.ndim not in (2, 3):
            raise DataError(f"{path.name}: X holds {X.dtype} of shape {X.shape}\n{_WANTED}")
        return _checked(path, X)
    if "values" not in found or "lengths" not in found:
        raise DataError(f"{path.name} has the arrays {listed(names, 10) or 'of no name'}\n{_WANTED}")
    values, lengths = found["values"], found["lengths"]
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        raise DataError(f"{path.name}: values holds {values.dtype} of shape {values.shape}\n{_WANTED}")
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or (lengths < 0).any():
        raise DataError(f"{path.name}: lengths should hold whole numbers of shape (batch,), 0 or more")
    if lengths.sum() != len(values):
        raise DataError(f"{path.name}: lengths add up to {lengths.sum():,}, but values has {len(values):,} steps")
    values = values.reshape(len(values), -1)
    return _checked(path, np.split(values, np.cumsum(lengths)[:-1]))


def _checked(path: Path, X: np.ndarray | list[np.ndarray]) -> Arrays:
    if not len(X):
        raise DataError(f"{path.name} is empty: there is no sequence in it")
    try:
        return as_sequences(X)  # type: ignore[return-value]  # numbers make arrays
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from None


def _targets(path: Path, found: dict[str, np.ndarray], rows: int) -> np.ndarray | None:
    y = found.get("y")
    if y is None:
        return None
    if y.shape != (rows,):
        raise DataError(f"{path.name}: y has shape {y.shape} where ({rows},) is expected, one target for each sequence")
    if y.dtype.kind == "f":
        return y.astype(np.float64)
    return np.array([text or None for text in y.astype(str).tolist()], dtype=object)
