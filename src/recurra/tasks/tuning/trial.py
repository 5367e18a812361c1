"""One trial of a search: training with some parameters, in any process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recurra.errors import DataError, RecurraError
from recurra.training.observer import observed_by

Report = Callable[[int, float], bool]
"""Receives the progress of a trial, as a step and the best score so far; returns False to end the trial."""

AGAIN = 2.5
"""Time for training on the whole data, as a multiple of that for one division: there are more, and no early stop."""
STEPS = 20
"""Steps of a trial: shares of the planned epochs, whose number depends on the size of the batches."""


@dataclass(frozen=True)
class Problem:
    """The part that all trials have in common.

    Attributes:
        estimator: untrained, with the parameters that are not searched.
        divisions: see `recurra.tasks.tuning.parts.Parts`.
        whole: likewise.
        options: keyword arguments of `fit`.
    """

    estimator: Any
    divisions: tuple[tuple[tuple[Any, ...], tuple[Any, ...] | None], ...]
    whole: tuple[Any, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """A trial to run.

    Attributes:
        number: number of the trial.
        params: parameters to set.
        first: whether it is the trial of the defaults, which always gives a model.
        seconds: time until the trial must end; None for no limit.
        to_beat: best score so far. Only a better trial returns its model.
    """

    number: int
    params: dict[str, Any]
    first: bool = False
    seconds: float | None = None
    to_beat: float = float("-inf")


@dataclass(frozen=True)
class Outcome:
    """Result of a trial.

    Attributes:
        state: `"complete"`, `"pruned"` (not promising), `"stopped"` (no time left), `"failed"` or `"lost"` (its process
            ended, so it is tried again).
        score: best value of the metric, with the sign that makes larger better; None if there is none.
        metric: name of the metric.
        greater: whether larger values of the metric are better.
        metrics: validation metrics of the best epoch, averaged over the divisions.
        epochs: finished epochs.
        weights: number of weights.
        seconds: duration.
        cut: whether training ended early because the time was up.
        error: the error of a failed trial.
        files: content of the model folder by file name, if the trial is the best so far or the first.
    """

    state: str
    score: float | None = None
    metric: str = ""
    greater: bool = True
    metrics: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 0
    weights: int = 0
    seconds: float = 0.0
    cut: bool = False
    error: RecurraError | None = None
    files: Mapping[str, bytes] | None = None


class TrialEndedError(Exception):
    """Ends the training of a trial that has no chance or no time left."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class TrialObserver:
    """Reports the progress of a trial, and ends it.

    Args:
        assignment: the trial.
        divisions: number of divisions of the data.
        report: receives the progress.
    """

    def __init__(self, assignment: Assignment, divisions: int, report: Report) -> None:
        self.assignment, self.divisions, self.report = assignment, divisions, report
        self.begin, self.step, self.epochs, self.cut = time.monotonic(), 0, 0, False
        self.scores: list[float] = []
        self.model: Any = None

    def open(self, model: Any) -> None:
        """Begins the training of a model on the next division."""
        self.model, self.epochs_here = model, 0
        self.scores.append(float("-inf"))

    @property
    def score(self) -> float:
        """Mean over the divisions of the best score."""
        return sum(self.scores) / len(self.scores)

    def after_step(self) -> bool:
        """Ends the trial if its time is up; the trial of the defaults keeps its best epoch."""
        limit = self.assignment.seconds
        if limit is None or time.monotonic() - self.begin < limit:
            return False
        if not self.assignment.first:
            raise TrialEndedError("stopped")
        self.cut = True
        return True

    def after_epoch(self, row: Mapping[str, float], epochs: int) -> None:
        """Reports the score at each step that the epoch completes."""
        metric, greater = self.model._search_metric()
        if f"valid_{metric}" not in row:
            raise DataError("there are no validation data to compare trials by")
        self.epochs += 1
        self.epochs_here += 1
        self.scores[-1] = max(self.scores[-1], (1 if greater else -1) * row[f"valid_{metric}"])
        done = len(self.scores) - 1 + self.epochs_here / epochs
        while self.step < int(STEPS * done / self.divisions + 1e-9):
            self.step += 1
            if not self.report(self.step, self.score) and not self.assignment.first:
                raise TrialEndedError("pruned")


def run_trial(problem: Problem, assignment: Assignment, report: Report) -> Outcome:
    """Trains with the parameters of a trial.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the training.
    """
    begin, limit = time.monotonic(), assignment.seconds
    if limit is not None and problem.whole is not None and assignment.first:
        limit *= len(problem.divisions) / (len(problem.divisions) + AGAIN)
    observer = TrialObserver(replace(assignment, seconds=limit), len(problem.divisions), report)
    models = []
    try:
        for train, valid in problem.divisions:
            observer.open(_new(problem, assignment))
            with observed_by(observer):
                observer.model.fit(*train, validation_data=valid, **problem.options)
            if observer.model.interrupted_:
                raise KeyboardInterrupt
            models.append(observer.model)
            if observer.cut:
                break
        outcome = _outcome(models, observer, assignment, files=problem.whole is None)
        if problem.whole is not None and assignment.first:
            left = None if assignment.seconds is None else begin + assignment.seconds - time.monotonic()
            files, cut = train_again(problem, replace(assignment, seconds=left))
            outcome = replace(outcome, files=files, cut=outcome.cut or cut)
    except TrialEndedError as ended:
        outcome = Outcome(ended.state, observer.score if observer.epochs else None, epochs=observer.epochs)
    except RecurraError as error:
        outcome = Outcome("failed", error=error)
    except (RuntimeError, MemoryError) as error:  # such as too little memory for a large network
        words = f"{type(error).__name__}: {str(error).partition(chr(10))[0]:.200}"
        outcome = Outcome("failed", error=RecurraError(words))
    return replace(outcome, seconds=time.monotonic() - begin)


def _new(problem: Problem, assignment: Assignment) -> Any:
    known = problem.estimator
    return type(known)(**{**known.get_params(deep=False), **assignment.params, "verbose": 0})


def _outcome(models: list[Any], observer: TrialObserver, assignment: Assignment, *, files: bool) -> Outcome:
    metric, greater = models[0]._search_metric()
    best = [model.history_[model.best_epoch_ - 1] for model in models]
    names = [name for name in best[0] if name.startswith("valid_")]
    return Outcome(
        "complete",
        observer.score,
        metric,
        greater,
        {name.removeprefix("valid_"): sum(row[name] for row in best) / len(best) for name in names},
        observer.epochs,
        sum(p.numel() for p in models[0].network_.parameters()),
        cut=observer.cut,
        files=packed(models[0]) if files and (assignment.first or observer.score > assignment.to_beat) else None,
    )


class Clock:
    """Ends a run at the end of its time; it keeps its best epoch. See `recurra.training.observer.Observer`."""

    def __init__(self, seconds: float | None) -> None:
        self.end = None if seconds is None else time.monotonic() + seconds
        self.cut = False

    def after_step(self) -> bool:
        """Returns True if the time is up."""
        self.cut = self.end is not None and time.monotonic() >= self.end
        return self.cut

    def after_epoch(self, row: Mapping[str, float], epochs: int) -> None:
        """Does nothing."""


def train_again(problem: Problem, assignment: Assignment) -> tuple[Mapping[str, bytes], bool]:
    """Trains with the parameters of a trial on the whole data.

    Returns:
        The content of the model folder, and whether training ended early because the time was up.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the training.
    """
    assert problem.whole is not None  # noqa: S101  (for the type checker)
    model, clock = _new(problem, assignment), Clock(assignment.seconds)
    with observed_by(clock):
        model.fit(*problem.whole, **problem.options)
    if model.interrupted_:
        raise KeyboardInterrupt
    return packed(model), clock.cut


def packed(model: Any) -> dict[str, bytes]:
    """Returns the content of the model folder of a fitted estimator."""
    with tempfile.TemporaryDirectory(prefix="recurra-tune-") as folder:
        path = Path(folder, "model")
        model.save(path)
        return {file.name: file.read_bytes() for file in path.iterdir()}


def unpack(files: Mapping[str, bytes], path: Path) -> None:
    """Writes the content of a model folder."""
    from recurra._util.atomic import replaced

    with replaced(path) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
