"""Divides batches among processes that train together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor


def bounds(batch: Any, parts: int) -> list[tuple[int, int]]:
    """Returns the first row of each part of a batch and the row after its last one.

    The parts have about the same number of steps, so that the processes finish together. Streams are divided by their
    number, so that every window of a stream is in the same part.

    Args:
        batch: a named tuple with `lengths`, and with `first` if its rows are streams.
        parts: number of parts; some are empty if the batch has fewer rows.

    Example:
        >>> import torch
        >>> from recurra.data.batching.batches import Batch
        >>> lengths = torch.tensor([1, 2, 3, 6])
        >>> bounds(Batch(torch.zeros(4, 6), lengths, None, None, torch.arange(4)), 2)
        [(0, 3), (3, 4)]
    """
    if hasattr(batch, "first"):
        return equal_bounds(len(batch.lengths), parts)
    behind = np.concatenate([[0.0], np.cumsum(batch.lengths.numpy() + 1.0)])  # empty sequences cost something too
    wanted = behind[-1] * np.arange(parts + 1) / parts
    return list(pairwise(np.abs(behind[:, None] - wanted).argmin(0).tolist()))


def equal_bounds(rows: int, parts: int) -> list[tuple[int, int]]:
    """Returns the bounds of parts with about the same number of rows.

    Example:
        >>> equal_bounds(5, 2)
        [(0, 2), (2, 5)]
    """
    return list(pairwise(rows * part // parts for part in range(parts + 1)))


def part_of(batch: Any, begin: int, end: int) -> Any:
    """Returns some rows of a batch, with the padding of the whole batch.

    Args:
        batch: a named tuple. Its fields are by row, except numbers, None, and the fields that its class names in
            `SHARED`.
        begin: first row.
        end: the row after the last one.
    """
    shared = getattr(batch, "SHARED", ())
    rows = {
        name: value[begin:end]
        for name, value in batch._asdict().items()
        if isinstance(value, Tensor | list | tuple) and name not in shared
    }
    return batch._replace(**rows)
