"""Iterates over many sequences in chunks of a few hundred, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from recurra.data.batching.batches import MAX_PADDED_TOKENS
from recurra.errors import DataError
from recurra.tasks.base import Estimator
from recurra.tasks.subject import Subject

from .subject import subject_of

CHUNK = 256
"""Maximum number of sequences of a chunk."""

Progress = Callable[[int, int], Any]
"""Progress callback: the amount done and the total."""


class Corpus:
    """The inputs of a model in chunks. Iteration yields the number of the first row of a chunk, and its `Subject`.

    Args:
        model: as in `subject_of`.
        X: as in `subject_of`. A list, an array, a pandas or Arrow column, or a tensor is cut into chunks.
        y: targets, one per row.
        lengths: for a module that takes it: steps of each sequence, `(batch,)`.

    Raises:
        UsageError: the type of the model is not supported.
        DataError: the inputs cannot be used, or there are none.

    Example:
        >>> import torch
        >>> corpus = Corpus(torch.nn.GRU(2, 3), torch.randn(5, 700, 2))
        >>> [(begin, subject.batch.values.shape[1]) for begin, subject in corpus]
        [(0, 256), (256, 256), (512, 188)]
    """

    def __init__(self, model: Any, X: Any, y: Any = None, lengths: Any = None) -> None:
        self.model, self.lengths, self.axis = model, lengths, 0
        self.whole = isinstance(X, Subject) or isinstance(model, Subject)
        if isinstance(model, Estimator) and not self.whole:
            rows = model.rows_of(X, y)
            self.whole = rows is None
            X, y = rows or (X, y)
        self.X: Any = X
        self.y: Any = y
        if isinstance(X, torch.Tensor):
            self.axis = 0 if getattr(model, "batch_first", True) or X.dim() < 3 else 1
            self.count = X.shape[self.axis]
        else:
            self.whole = self.whole or not hasattr(X, "__getitem__") or not hasattr(X, "__len__")
            self.count = 1 if self.whole else len(self.X)
        if not self.count:
            raise DataError("there is no sequence to inspect")
        if y is not None and not self.whole and len(y) != self.count:
            raise DataError(f"there are {self.count} sequences and {len(y)} targets")
        self.size = self._size()

    def __len__(self) -> int:
        return 1 if self.whole else -(-self.count // self.size)

    def __iter__(self) -> Iterator[tuple[int, Subject]]:
        for begin in range(0, 1 if self.whole else self.count, self.size):
            yield from self._chunk(begin)

    def chunk_of(self, row: int) -> Iterator[tuple[int, Subject]]:
        """Yields the chunk with a row; nothing if the chunk has no steps."""
        yield from self._chunk(0 if self.whole else row // self.size * self.size)

    def _chunk(self, begin: int) -> Iterator[tuple[int, Subject]]:
        if self.whole:
            yield 0, subject_of(self.model, self.X, self.y, lengths=self.lengths)
            return
        rows = slice(begin, begin + self.size)
        part = self.X[(slice(None),) * self.axis + (rows,)] if self.axis else self.X[rows]
        if hasattr(part, "to_pylist"):  # an Arrow column
            part = [row or "" for row in part.to_pylist()]
        if not isinstance(part, torch.Tensor) and not any(_filled(row) for row in part):
            return
        targets = None if self.y is None else self.y[rows]
        lengths = None if self.lengths is None else self.lengths[rows]
        yield begin, subject_of(self.model, part, targets, lengths=lengths)

    def _size(self) -> int:
        """Number of sequences of a chunk: fewer if they are very long."""
        if isinstance(self.X, torch.Tensor):
            longest = self.X.shape[1 - self.axis] if self.X.dim() > 1 else 1
        else:
            longest = 1 if self.whole else max((len(row) for row in self.X if hasattr(row, "__len__")), default=1)
        return max(1, min(CHUNK, MAX_PADDED_TOKENS // max(1, longest)))

    def labels(self, y: Any) -> np.ndarray | None:
        """Checks the labels of the rows. They need not be the targets of the model.

        Raises:
            DataError: the number of labels differs from the number of rows.
        """
        if y is None:
            return None
        found = np.asarray(y)
        if found.ndim != 1:
            raise DataError(f"y must hold one label or number per sequence, got shape {found.shape}")
        count = len(self.first().batch.values) if self.whole else self.count
        if len(found) != count:
            raise DataError(f"there are {count} sequences and {len(found)} labels")
        return found

    def first(self) -> Subject:
        """The first chunk.

        Raises:
            DataError: every sequence is empty.
        """
        for _, subject in self:
            return subject
        raise DataError("there is no step to inspect: every sequence is empty")


def _filled(row: Any) -> bool:
    """Returns whether a sequence has steps. Also True for values that are not sequences; they are refused later."""
    if isinstance(row, str):
        return bool(row.strip())
    return row is not None and not (hasattr(row, "__len__") and len(row) == 0)
