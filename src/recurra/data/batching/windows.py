"""Windows over series. Each series is stored once; a window is copied only when a batch is built."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Layout(NamedTuple):
    """Numbers of columns of each role in a step, in this order.

    Attributes:
        targets: number of columns to forecast.
        features: number of columns known for the past only.
        known: number of columns known for the future too.
        calendar: number of the known columns, the last ones, that are computed from the time. The context leaves them
            out.
        masked: True if another column for each target and feature follows: 1 if its value is observed, else 0.
    """

    targets: int
    features: int = 0
    known: int = 0
    calendar: int = 0
    masked: bool = False

    @property
    def context_covariates(self) -> slice:
        """Positions of the features and known columns in the context."""
        return slice(self.targets, self.targets + self.features + self.known - self.calendar)

    @property
    def ahead(self) -> slice:
        """Positions of the known columns."""
        return slice(self.targets + self.features, self.targets + self.features + self.known)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.targets + self.features + self.known + self.masked * (self.targets + self.features)


@dataclass(frozen=True)
class Frame:
    """One prepared series, and the range of its steps to forecast.

    Attributes:
        steps: scaled values `(time, columns)` in the order of a `Layout`, float32, without missing values.
        observed: True where a target is known, `(time, targets)`; None if all are.
        begin: first step that a window may forecast.
        end: one past the last step that a window may forecast.
    """

    steps: np.ndarray
    observed: np.ndarray | None
    begin: int
    end: int


class WindowBatch(NamedTuple):
    """A batch of windows.

    Attributes:
        values: the context `(batch, context, columns)`.
        lengths: steps of each context `(batch,)`, all equal.
        targets: the values to forecast `(batch, horizon, targets)`.
        weights: 0 if a value to forecast is missing, else 1, `(batch, horizon, targets)`; None if no value is missing.
        future: known columns of the steps to forecast `(batch, horizon, known)`.
        rows: numbers of the windows in their source `(batch,)`.
    """

    values: Tensor
    lengths: Tensor
    targets: Tensor
    weights: Tensor | None
    future: Tensor
    rows: Tensor


class Windows:
    """An iterable of `WindowBatch`, one pass per epoch, every window of `context + horizon` steps.

    If the context of a window begins before its series, it is padded with masked copies of the first step.

    Args:
        frames: the series.
        context: number of input steps of a window.
        horizon: number of steps to forecast.
        layout: the roles of the columns.
        batch_size: windows in a batch.
        shuffle: True to draw a new order in each epoch.
        seed: seed of that order.
        most: maximum number of windows in a pass. They are evenly spaced; with `shuffle` each epoch draws new ones.

    Attributes:
        series: number of the series of each window, `(windows,)`.
        begins: first step that each window forecasts, `(windows,)`.

    Example:
        >>> steps = np.arange(6, dtype=np.float32)[:, None]
        >>> windows = Windows([Frame(steps, None, 2, 6)], 2, 3, Layout(1), batch_size=8)
        >>> batch = next(iter(windows))
        >>> batch.values[:, :, 0].tolist(), batch.targets[:, :, 0].tolist()
        ([[0.0, 1.0], [1.0, 2.0]], [[2.0, 3.0, 4.0], [3.0, 4.0, 5.0]])
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        context: int,
        horizon: int,
        layout: Layout,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        most: int | None = None,
    ) -> None:
        self.context, self.horizon, self.layout = context, horizon, layout
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.epoch = self.position = 0
        self._lay_out(frames)
        count = len(self.begins)
        if most is not None and count > most and not shuffle:
            kept = np.linspace(0, count - 1, most).round().astype(np.int64)
            self.series, self.begins, self._starts = self.series[kept], self.begins[kept], self._starts[kept]
        self.count = min(count, most or count)
        self._steps = torch.arange(context + horizon)

    def _lay_out(self, frames: Sequence[Frame]) -> None:
        """Concatenates the series. The padding that its first window needs precedes each series."""
        width = self.layout.width
        values, observed, series, begins, starts, offset = [], [], [], [], [], 0
        for i, frame in enumerate(frames):
            first = np.arange(frame.begin, frame.end - self.horizon + 1)
            if not len(first):
                continue
            filling = max(0, self.context - frame.begin)
            front = np.repeat(frame.steps[:1], filling, axis=0)
            if self.layout.masked:
                front[:, self.layout.ahead.stop :] = 0
            values += [front, frame.steps]
            seen = frame.observed
            observed += [np.zeros((filling, self.layout.targets), bool)]
            observed += [np.ones((len(frame.steps), self.layout.targets), bool) if seen is None else seen]
            starts.append(offset + filling + first - self.context)
            series.append(np.full(len(first), i))
            begins.append(first)
            offset += filling + len(frame.steps)
        self._values = torch.from_numpy(np.concatenate([np.zeros((0, width), np.float32), *values]))
        seen = np.concatenate([np.zeros((0, self.layout.targets), bool), *observed])
        self._observed = None if all(f.observed is None for f in frames) else torch.from_numpy(seen)
        empty = [np.zeros(0, np.int64)]
        self._starts, self.series, self.begins = (np.concatenate(empty + part) for part in (starts, series, begins))

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[WindowBatch]:
        # The caller may not request the end of the pass, so the next pass advances the epoch.
        if self.position >= len(self):
            self.epoch, self.position = self.epoch + 1, 0
        order = self._order()
        while self.position < len(self):
            rows = order[self.position * self.batch_size :][: self.batch_size]
            self.position += 1
            yield self._batch(rows)

    def _order(self) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.count)
        return np.random.default_rng((self.seed, self.epoch)).permutation(len(self.begins))[: self.count]

    def seek(self, step: int) -> None:
        """Moves to the position after `step` batches since the beginning of the first epoch."""
        self.epoch, self.position = divmod(step, max(len(self), 1))

    def whole(self) -> WindowBatch:
        """Returns all windows as one batch, in the order of the series."""
        return self._batch(np.arange(len(self.begins)))

    def fingerprint(self) -> str:
        """Hash of the series, the masks of observed values, and the windows."""
        digest = hashlib.blake2b(f"{self.context} {self.horizon} {self.layout}".encode(), digest_size=16)
        digest.update(self._values.numpy().tobytes())
        digest.update(b"" if self._observed is None else self._observed.numpy().tobytes())
        digest.update(self._starts.tobytes())
        return digest.hexdigest()

    def _batch(self, rows: np.ndarray) -> WindowBatch:
        index = torch.from_numpy(self._starts[rows])[:, None] + self._steps
        steps = self._values[index]
        context, coming = steps[:, : self.context], steps[:, self.context :]
        return WindowBatch(
            context,
            torch.full((len(rows),), self.context),
            coming[:, :, : self.layout.targets],
            None if self._observed is None else self._observed[index[:, self.context :]].float(),
            coming[:, :, self.layout.ahead],
            torch.from_numpy(rows),
        )
