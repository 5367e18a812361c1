"""A small process of a run that the workers report to: progress, restarts and the result."""

from __future__ import annotations

from collections import Counter
from typing import Any

STARTS_WITHOUT_PROGRESS = 4
"""The run ends when the workers were started so often from the same step."""


class Board:
    """Messages of the workers for the process that started them. Ray runs it as an actor."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._points: list[tuple[dict[str, float], int | None]] = []
        self._logged = self._repeated = -1
        self._shown: tuple[int, int, str] | None = None
        self._outcome: Any = None
        self._step, self._starts = -1, 0

    def starting(self, step: int, workers: int) -> bool:
        """Notes that the workers start; returns False if they ended too often without progress.

        Args:
            step: training step of the checkpoint they start from.
            workers: their number.
        """
        self._starts = self._starts + 1 if step <= self._step else 1
        if self._step >= 0:
            self._notes.append(f"training continues from step {step:,} with {workers} workers")
        self._step = max(step, self._step)
        self._repeated = self._logged
        return self._starts <= STARTS_WITHOUT_PROGRESS

    def show(self, done: int, total: int, text: str) -> None:
        """Keeps the progress; see `recurra.training.progress.Line`."""
        self._shown = (done, total, text)

    def note(self, text: str) -> None:
        """Keeps a remark until it is read."""
        self._notes.append(text)

    def log(self, metrics: dict[str, float], step: int | None) -> None:
        """Keeps metrics for the loggers until they are read; workers that started again repeat some steps."""
        if step is None or step > self._repeated:
            self._points.append((metrics, step))
            self._logged = max(self._logged, step or 0)

    def end(self, outcome: Any) -> None:
        """Keeps the result, or the error of the run; the first one counts."""
        if self._outcome is None:
            self._outcome = outcome

    def read(self) -> tuple[tuple[int, int, str] | None, list[str], list[tuple[dict[str, float], int | None]]]:
        """Returns the progress, and the remarks and the metrics since the last call."""
        notes, self._notes = self._notes, []
        points, self._points = self._points, []
        return self._shown, notes, points

    def outcome(self) -> Any:
        """Returns what `end` was given."""
        return self._outcome


class Starts:
    """Counts how often each part was started: Ray Data starts a part again, without end, if its worker ends."""

    def __init__(self) -> None:
        self._starts: Counter[int] = Counter()

    def count(self, part: int) -> int:
        """Counts a start and returns the number of starts of the part."""
        self._starts[part] += 1
        return self._starts[part]
