"""The trials of a search: which one starts when and where, and when the search ends."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from recurra._util.messages import readable
from recurra.errors import RecurraError, UsageError
from recurra.training.progress import Line

from .parts import Parts
from .places import Place
from .result import NAMES, Measurement, Models
from .study import Study
from .trial import AGAIN, Assignment, Outcome, Problem, train_again, unpack

DEFAULT_MINUTES = 10.0
"""Time limit if neither a time nor a number of trials is given."""
RESERVE, MOST_RESERVE = 0.05, 20.0
"""Share of the time, and seconds at most, that are kept for measuring the result until its duration is known."""
LEAST_SECONDS = 0.5
"""A trial does not start if less time is left."""
FAILURES = 3
"""The search ends if so many trials at its beginning fail."""
LOOK_SECONDS = 0.2
"""Time between two updates of the progress line."""


@dataclass(frozen=True)
class Limits:
    """When a search ends, and where it runs.

    Attributes:
        minutes: time limit; None for none.
        trials: number of trials; None for no limit.
        workers: number of processes; None to choose it.
        cluster: address of a Ray cluster, or `"local"`; None for processes of this machine without Ray.
        begin: time from which the limit counts, as of `time.monotonic`; None for the time of the call.
    """

    minutes: float | None = DEFAULT_MINUTES
    trials: int | None = None
    workers: int | None = None
    cluster: str | None = None
    begin: float | None = None

    @classmethod
    def of(
        cls, minutes: Any, trials: Any, workers: Any, cluster: str | None = None, begin: float | None = None
    ) -> Self:
        """Checks the limits.

        Raises:
            UsageError: a number is not allowed.
        """
        for name, value, kind in (
            ("minutes", minutes, (int, float)),
            ("trials", trials, int),
            ("workers", workers, int),
        ):
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf
            ):
                raise UsageError(f"{name} must be a positive number, got {value!r:.40}")
        minutes = DEFAULT_MINUTES if minutes is None and trials is None else minutes
        return cls(minutes, trials, workers, cluster, begin)


class Run:
    """The trials of one call."""

    def __init__(self, study: Study, models: Models, limits: Limits, begin: float, parts: Parts) -> None:
        self.study, self.models, self.limits, self.begin, self.parts = study, models, limits, begin, parts
        self.default: Measurement | None = None
        self.errors: list[RecurraError] = []
        self.failed: BaseException | None = None
        self.running: set[int] = set()
        self.closed = False
        self._lock = threading.RLock()
        self._line: Line | None = None
        total = None if limits.minutes is None else 60 * limits.minutes
        self.total = total
        self.measuring: float | None = None
        self.end = self._end()

    def _end(self) -> float | None:
        """Returns when trials end, so that enough time is left for the result."""
        if self.total is None:
            return None
        reserve = min(RESERVE * self.total, MOST_RESERVE)
        if self.measuring is not None:
            reserve = 1.5 * self.measuring + 1.0
        if self.parts.whole is not None and self.study.best not in (None, self.study.first):
            reserve += AGAIN * self.study.seconds(self.study.best) / len(self.parts.divisions)
        return self.begin + self.total - reserve

    def all(self, places: Sequence[Place], line: Line | None) -> None:
        """Runs trials on all processes until the end."""
        self._line = line
        try:
            if len(places) == 1:
                self._work(places[0])
            else:
                self._at_once(places)
        finally:
            if line is not None:
                line.close("")
        if self.failed is not None:
            raise self.failed

    def _at_once(self, places: Sequence[Place]) -> None:
        threads = [threading.Thread(target=self._work, args=(place,), daemon=True) for place in places]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                self._show()
                threads[-1].join(LOOK_SECONDS) if threads[-1].is_alive() else time.sleep(LOOK_SECONDS)
        except BaseException:
            self.closed = True
            for place in places:
                place.close()
            raise
        for thread in threads:
            thread.join()

    def _work(self, place: Place) -> None:
        try:
            while not self._over():
                assignment = self._next() if place.ready() else None
                if assignment is None:  # another process may end and leave its trial
                    time.sleep(LOOK_SECONDS)
                    continue
                report = partial(self._report, assignment.number)
                outcome = place.run(assignment, report)
                self._finish(assignment.number, assignment.first, outcome)
        except BaseException as error:
            if threading.current_thread() is threading.main_thread():
                raise
            self.failed = error

    def _left(self) -> float | None:
        return None if self.end is None else self.end - time.monotonic()

    def _over(self) -> bool:
        """Returns True if no trial starts any more."""
        with self._lock:
            left = self._left()
            late = left is not None and left < LEAST_SECONDS and self.study.counted() > 0
            enough = self._enough() and not self.running
            hopeless = len(self.errors) >= FAILURES and self.study.best is None
            return self.closed or self.failed is not None or late or enough or hopeless

    def _enough(self) -> bool:
        return self.limits.trials is not None and self.study.counted() >= self.limits.trials

    def _next(self) -> Any:
        """Returns the next trial; None if their number is reached."""
        with self._lock:
            if self._enough():
                return None
            left = self._left()
            assignment = self.study.ask()
            self.running.add(assignment.number)
            self._show()
            return replace(assignment, seconds=None if left is None else max(left, LEAST_SECONDS))

    def _report(self, number: int, step: int, score: float) -> bool:
        with self._lock:
            self._show()
            late = self.end is not None and time.monotonic() > self.end  # a new best model may need more time
            return self.study.report(number, step, score) and not late

    def _finish(self, number: int, first: bool, outcome: Outcome) -> None:
        """Keeps the result of a trial, and its model if it is the best or the first."""
        with self._lock:
            if outcome.state == "complete" and not math.isfinite(outcome.score or 0.0):
                outcome = Outcome("failed", error=RecurraError("the validation metric is not finite"))
            better = outcome.score is not None and outcome.score > self.study.best_score
            if outcome.state == "complete" and outcome.files is not None and (better or first):
                unpack(outcome.files, self.models.path(number))
            self.study.tell(number, outcome)
            self.running.discard(number)
            if outcome.error is not None:
                self.errors.append(outcome.error)
            self.models.keep({self.study.best, self.study.first})
            self.end = self._end()
        if first and outcome.state == "complete":
            self._measure_default(number)

    def _measure_default(self, number: int) -> None:
        """Measures the model of the defaults, and keeps as much time for that of the best model."""
        if self.parts.test is None:
            return
        begin = time.monotonic()
        self.default = self.models.measure(number, self.parts.test)
        self.measuring = time.monotonic() - begin
        self.end = self._end()

    def train_again(self, problem: Problem) -> bool:
        """Trains the best parameters on all data, if trials were trained on parts of them.

        Returns:
            Whether the training ended early because the time was up; for the defaults, that of their trial.
        """
        rows = {row["trial"]: row for row in self.study.rows()}
        best, first = self.study.best, self.study.first
        if problem.whole is None or best is None or best == first:
            return first is not None and rows[first]["cut"]
        seconds = None
        if self.total is not None:
            seconds = max(self.begin + self.total - time.monotonic() - (self.measuring or 0.0), LEAST_SECONDS)
        files, cut = train_again(problem, Assignment(best, rows[best]["params"], seconds=seconds))
        unpack(files, self.models.path(best))
        return cut or (first is not None and rows[first]["cut"])

    def refuse_nothing(self) -> None:
        """Raises the error of the first trial if no trial was completed."""
        if self.study.best is not None:
            return
        if self.errors:
            raise self.errors[0]
        raise RecurraError("no trial was completed: the process of each trial ended; is there enough memory?")

    def _show(self) -> None:
        line = self._line
        if line is None:
            return
        done = self.study.counted() - len(self.running)
        parts = [f"trial {self.study.counted()}"]
        best = self.study.best_value()
        if best is not None:
            name, value, number = best
            parts.append(f"best {NAMES.get(name, name)} {readable(value)} (trial {number})")
        if len(self.running) > 1:
            parts.append(f"{len(self.running)} running")
        if self.total is not None:
            seconds = time.monotonic() - self.begin
            parts.append(f"{max(self.total - seconds, 0) / 60:.1f} min left")
            line.show(int(seconds), int(self.total), "  ".join(parts))
        else:
            line.show(done, self.limits.trials or 1, "  ".join(parts))
