"""Encoded pieces on the disk: each piece is encoded once, by threads in the background, before it is needed."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recurra._util.atomic import written
from recurra.errors import ModelFolderError


class Shard(NamedTuple):
    """The encoded rows of a piece.

    Attributes:
        values: tokens of all sequences, one after the other.
        lengths: tokens of each sequence, `(rows,)`.
        targets: encoded targets, `(rows, …)`.
        rows: numbers of the rows in the piece, `(rows,)`.
    """

    values: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    rows: np.ndarray


class ShardStore:
    """Shards in a folder, made when they are first requested and reused afterwards.

    Args:
        folder: for the files; its name must identify the data and the encoder.
        encode: returns the shard of a piece.
        threads: pieces that are encoded at the same time.
    """

    def __init__(self, folder: Path, encode: Callable[[int], Shard], threads: int = 1) -> None:
        self._folder, self._encode = folder, encode
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[int, Future[None]] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._known = {int(file.stem) for file in folder.glob("*.npz") if file.stem.isdigit()}

    def __getstate__(self) -> dict[str, Any]:
        # another process encodes with its own threads
        return vars(self) | {"_pool": None, "_waiting": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def prefetch(self, pieces: Iterable[int]) -> None:
        """Starts to encode the pieces that have no shard, in this order."""
        with self._lock:
            for piece in pieces:
                if piece not in self._known and piece not in self._waiting:
                    self._pool = self._pool or ThreadPoolExecutor(self._threads, "recurra-encode")
                    self._waiting[piece] = self._pool.submit(self._make_shard, piece)

    def load(self, piece: int) -> Shard:
        """Returns the shard of a piece. It is encoded if it has not been.

        Raises:
            DataError: the rows cannot be encoded.
        """
        return Shard(*self._read(piece, Shard._fields))

    def lengths(self, piece: int) -> np.ndarray:
        """Returns the lengths of the sequences of a piece."""
        return self._read(piece, ("lengths",))[0]

    def _read(self, piece: int, names: Sequence[str]) -> list[np.ndarray]:
        self.prefetch([piece])
        waiting = self._waiting.get(piece)
        if waiting is not None:
            try:
                waiting.result()
            finally:
                with self._lock:
                    self._waiting.pop(piece, None)
        try:
            return self._arrays(piece, names)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # damaged or removed
            self._make_shard(piece)
            return self._arrays(piece, names)

    def _arrays(self, piece: int, names: Sequence[str]) -> list[np.ndarray]:
        with self._file(piece).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return [file[name] for name in names]

    def close(self) -> None:
        """Ends the threads; pieces that wait are not encoded."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._waiting.clear()

    def _make_shard(self, piece: int) -> None:
        shard = self._encode(piece)
        with written(self._file(piece), ModelFolderError) as partial, partial.open("wb") as file:
            np.savez(file, **shard._asdict())
        self._known.add(piece)

    def _file(self, piece: int) -> Path:
        return self._folder / f"{piece:06d}.npz"


def token_type(tokens: int) -> type[np.integer]:
    """Returns the smallest integer type for numbers of tokens.

    Example:
        >>> token_type(4000).__name__
        'uint16'
    """
    return np.uint16 if tokens <= 1 << 16 else np.int32
