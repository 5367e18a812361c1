"""Reads NumPy archives (`.npz`) of numeric sequences."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np

from recurra._util.messages import listed
from recurra.data.columns.inputs import Arrays, as_sequences
from recurra.data.files.access import reading, refuse_no_file
from recurra.data.files.packed import FREE_BYTES, check_expansion
from recurra.data.files.signatures import HEAD_BYTES, recognize
from recurra.errors import DataError

from .sequence_file import SequenceFile

_NAMES = ("X", "values", "lengths", "y")
_WANTED = (
    "It should hold X of shape (batch, time, features) or (batch, time), or values of shape (steps, features), which "
    "are all sequences concatenated. Sequences of unequal length need lengths of shape (batch,). y holds the targets."
)


def read_npz(path: str | os.PathLike[str]) -> SequenceFile:
    """Reads sequences and targets from an archive written by `numpy.savez` or `numpy.savez_compressed`.

    The arrays are `X`, with `lengths` if it is padded at the end, or `values` with `lengths`; and optionally `y` with
    the targets. Pickled objects are refused.

    Raises:
        DataError: the file is not an archive of named arrays, lacks an array, or the arrays do not fit together.

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
        with path.open("rb") as file:
            error = recognize(path, file.read(HEAD_BYTES))
        raise error or DataError(f"{path.name} is not a NumPy archive as numpy.savez writes\n{_WANTED}")
    damage = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
    with reading(path, *damage), zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        names = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
        if not names:
            kept = ", ".join(members) or "none"
            raise DataError(f"{path.name} has no array: its members ({kept:.200}) do not end in .npy\n{_WANTED}")
        wanted = [f"{name}.npy" for name in _NAMES if name in names]
        check_expansion(path, path.stat().st_size, sum(members[name].file_size for name in wanted))
        found = {name.removesuffix(".npy"): _array(path, archive, members[name]) for name in wanted}
    sequences = _sequences(path, found, names)
    return SequenceFile(path, sequences, (), _targets(path, found, len(sequences)), lambda row: _where(path, row))


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Reads one array, after comparing its header with the size of its member.

    Raises:
        DataError: the member is damaged, contains pickled objects, or its size differs from its header.
    """
    name = f"{path.name}, member {member.filename}"
    try:
        with archive.open(member) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers written by Python 2
            version = np.lib.format.read_magic(file)
            formats = np.lib.format
            read_header = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
            shape, _, dtype = read_header(file)
            said, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if dtype.hasobject:
            raise DataError(f"{name} holds pickled objects, which can run code and are not read\n{_WANTED}")
        hollow = not said and math.prod(max(n, 1) for n in shape) > FREE_BYTES  # such as (10**12, 0)
        if said != held or hollow or min(shape, default=0) < 0:
            raise DataError(f"{name} is damaged: shape {shape} of {dtype} needs {said:,} bytes, but {held:,} follow")
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds over damaged headers and data
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{name} cannot be read as an array: {reason:.200}") from None


def _where(path: Path, row: int) -> str:
    return f"{path.name}, sequence {row + 1}"


def _sequences(path: Path, found: dict[str, np.ndarray], names: list[str]) -> Arrays:
    if "X" in found:
        X = found["X"]
        if X.dtype.kind not in "biuf" or X.ndim not in (2, 3):
            raise DataError(f"{path.name}: X holds {X.dtype} of shape {X.shape}\n{_WANTED}")
        return _checked(path, X if "lengths" not in found else _without_padding(path, X, _lengths(path, found)))
    if "values" not in found or "lengths" not in found:
        raise DataError(f"{path.name} has the arrays {listed(names, 10) or 'of no name'}\n{_WANTED}")
    values, lengths = found["values"], _lengths(path, found)
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        raise DataError(f"{path.name}: values holds {values.dtype} of shape {values.shape}\n{_WANTED}")
    total = sum(map(int, lengths))  # Python integers, which cannot overflow
    if total != len(values):
        raise DataError(f"{path.name}: lengths add up to {total:,}, but values has {len(values):,} steps")
    values = values[:, None] if values.ndim == 1 else values
    return _checked(path, np.split(values, np.cumsum(lengths.astype(np.int64))[:-1]) if len(lengths) else [])


def _lengths(path: Path, found: dict[str, np.ndarray]) -> np.ndarray:
    lengths = found["lengths"]
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or (lengths < 0).any():
        raise DataError(f"{path.name}: lengths should hold whole numbers of shape (batch,), 0 or more")
    return lengths


def _without_padding(path: Path, X: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Returns the sequences `(time, features)` of an array that is padded at the end."""
    if len(lengths) != len(X) or (lengths > X.shape[1]).any():
        raise DataError(
            f"{path.name}: lengths should hold {len(X):,} numbers, one for each sequence of X, and none above the "
            f"{X.shape[1]:,} steps of X"
        )
    X = X[:, :, None] if X.ndim == 2 else X
    return [row[: int(length)] for row, length in zip(X, lengths, strict=True)]


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
    if y.dtype.kind not in "biuUSM":
        raise DataError(f"{path.name}: y holds {y.dtype}; targets are numbers or texts")
    try:
        return np.array([text or None for text in y.astype(str).tolist()], dtype=object)
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: y holds bytes that are not ASCII; write the labels as texts") from None
