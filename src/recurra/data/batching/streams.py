"""Splits one long sequence into parallel streams, and the streams into consecutive windows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .batches import IGNORE, pad


class Window(NamedTuple):
    """The same steps of all streams.

    Attributes:
        values: input tokens `(streams, time)`, 0 in the padding.
        lengths: tokens of each stream `(streams,)`.
        targets: the next token of each input token `(streams, time)`, `IGNORE` in the padding.
        first: True if the streams begin here; False if they continue the previous window.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor
    first: bool


class Streams:
    """Windows for truncated back-propagation through time, always in the order of the text.

    The text is cut into streams of nearly equal length, and every window holds the next `window` tokens of each
    stream. A network that carries its state from window to window reads each stream from its beginning. The first
    input of a stream is `begin`, so each token is the target of exactly one step.

    Args:
        parts: consecutive arrays of token numbers `(time,)`. A stream always begins at the beginning of a part.
        begin: number of the token that precedes each stream.
        streams: maximum number of streams; there are fewer if `parts` has fewer items.
        window: tokens in a window.

    Example:
        >>> import numpy as np
        >>> source = Streams([np.array([5, 6, 7]), np.array([8, 9])], begin=1, streams=2, window=2)
        >>> for values, lengths, targets, first in source:
        ...     print(values.tolist(), lengths.tolist(), targets.tolist(), first)
        [[1, 5], [1, 8]] [2, 2] [[5, 6], [8, 9]] True
        [[6], [0]] [1, 0] [[7], [-100]] False
    """

    def __init__(self, parts: list[np.ndarray], begin: int, *, streams: int, window: int) -> None:
        lengths = [len(part) for part in parts]
        starts = np.cumsum([0, *lengths])
        total = int(starts[-1])
        wanted = np.arange(1, streams) * total / streams
        nearest = starts[np.abs(starts - wanted[:, None]).argmin(1)] if len(wanted) else np.zeros(0, np.int64)
        bounds = np.unique(np.concatenate([[0], nearest, [total]]))
        targets = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        inputs = np.concatenate([[begin], targets[:-1]]).astype(targets.dtype)
        inputs[bounds[:-1]] = begin
        self._inputs, self._targets = ([whole[a:b] for a, b in pairwise(bounds)] for whole in (inputs, targets))
        self.window, self._total, self.position = window, total, 0

    def __len__(self) -> int:
        return -(-max(map(len, self._targets), default=0) // self.window)

    @property
    def count(self) -> int:
        """Number of tokens to predict in a pass."""
        return self._total

    def __iter__(self) -> Iterator[Window]:
        # The caller may not request the end of the pass, so the next pass advances the epoch.
        if self.position >= len(self):
            self.position = 0
        while self.position < len(self):
            start = self.position * self.window
            self.position += 1
            yield self._cut(start, start + self.window)

    def seek(self, step: int) -> None:
        """Moves to the position after `step` windows since the beginning of the first epoch."""
        self.position = step % len(self)

    def fingerprint(self) -> str:
        """Hash of the text and of the division into streams and windows."""
        digest = hashlib.blake2b(f"{self.window}".encode(), digest_size=16)
        for stream in self._targets:
            digest.update(f" {len(stream)} ".encode())
            digest.update(stream.astype(np.int32).tobytes())
        return digest.hexdigest()

    def _cut(self, start: int, end: int) -> Window:
        inputs = [stream[start:end] for stream in self._inputs]
        targets = [stream[start:end] for stream in self._targets]
        lengths = torch.tensor([len(stream) for stream in inputs])
        return Window(pad(inputs), lengths, pad(targets, IGNORE), start == 0)
