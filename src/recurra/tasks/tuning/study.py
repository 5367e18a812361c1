"""The study of a search: an Optuna study in a journal file, which survives the end of its process at any time."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recurra._util.extras import needs_extra
from recurra.errors import UsageError

from .ranges import Range
from .space import Space, suggest
from .trial import Assignment, Outcome

JOURNAL = "journal.log"
STARTUP = 6
"""Trials with random parameters before the sampler learns from the others."""
PRUNE_AFTER = 4
"""Finished trials that are needed before others are compared with their median."""
PRUNE_FROM = 3
"""First step at which a trial is compared, see `recurra.tasks.tuning.trial.STEPS`."""
RETRIES = 2
"""Times that a trial whose process ended is tried again."""


class Study:
    """Proposes parameters, decides which trials end early, and keeps all results.

    Every method may be called by several threads. One process at a time may use a journal.

    Args:
        path: the journal file; it is created if it does not exist.
        space: the values to try.
        defaults: parameters of the first trial.
        seed: seed of the proposals.
        identity: data and options; a journal with other ones is refused.

    Raises:
        UsageError: the journal belongs to another search or is damaged, or Optuna is not installed.
    """

    def __init__(
        self, path: Path, space: Space, defaults: Mapping[str, Any], seed: int, identity: Mapping[str, str]
    ) -> None:
        with needs_extra("tune", "a search of parameters"):
            import optuna
        self._optuna, self.space, self.defaults, self.seed = optuna, space, dict(defaults), seed
        self._lock = threading.RLock()
        self._open: dict[int, Any] = {}
        with _quiet():
            self.study = self._load(path, identity)
            self._recover()

    def _load(self, path: Path, identity: Mapping[str, str]) -> Any:
        optuna = self._optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        new = not path.exists()
        _mend(path)
        try:
            storage = JournalStorage(JournalFileBackend(str(path)))
            pruner = optuna.pruners.MedianPruner(PRUNE_AFTER, n_warmup_steps=PRUNE_FROM)
            study = optuna.create_study(
                storage=storage, study_name="recurra", direction="maximize", pruner=pruner, load_if_exists=True
            )
            found = study.user_attrs.get("identity")
        except Exception as error:  # Optuna raises errors of many kinds for damaged files
            raise UsageError(
                f"{path} is not the journal of a search: {type(error).__name__}: {error}\n"
                "choose another --out, or add --overwrite to start from the beginning"
            ) from None
        if new or found is None:
            study.set_user_attr("identity", dict(identity))
            study.enqueue_trial(self._in_space(self.defaults), user_attrs={"first": True})
        elif found != identity:
            other = [name for name in {**found, **identity} if found.get(name) != identity.get(name)]
            raise UsageError(
                f"the search in {path.parent} cannot be continued, because these are different: {', '.join(other)}\n"
                "give the data and options of the earlier search, or start again (--overwrite instead of --resume)"
            )
        return study

    def _in_space(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the parameters whose value is in the space."""
        return {name: params[name] for name, search in self.space.items() if name in params and params[name] in search}

    def _recover(self) -> None:
        """Repeats the trials that were running when the process ended."""
        states = self._optuna.trial.TrialState
        for trial in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            self._repeat(trial, trial.user_attrs.get("tries", 0))
            self.study.tell(trial.number, state=states.FAIL)

    def _repeat(self, trial: Any, tries: int) -> None:
        """Puts a running trial into the queue again."""
        attrs = {"tries": tries, **({"first": True} if trial.user_attrs.get("first") else {})}
        self.study.enqueue_trial(trial.params, user_attrs=attrs)
        self.study._storage.set_trial_user_attr(trial._trial_id, "repeated", True)

    # asking and telling

    def ask(self) -> Assignment:
        """Returns the next trial."""
        with self._lock, _quiet():
            asked = self.counted()
            # from the number of trials alone, so that a resumed search proposes the same
            self.study.sampler = self._optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=self.seed + asked)
            trial = self.study.ask()
            first = bool(trial.user_attrs.get("first"))
            params = {}
            for name, search in self.space.items():
                if first and name not in self._in_space(self.defaults):
                    continue  # the default is not among the values to try
                params[name] = suggest(trial, name, search)
            trial.set_user_attr("params", self.defaults if first else params)
            self._open[trial.number] = trial
            return Assignment(trial.number, self.defaults if first else params, first, to_beat=self.best_score)

    def report(self, number: int, step: int, score: float) -> bool:
        """Notes the progress of a trial; returns False if it should end."""
        with self._lock, _quiet():
            trial = self._open[number]
            trial.report(score, step)
            return not trial.should_prune()

    def tell(self, number: int, outcome: Outcome) -> bool:
        """Notes the result of a trial. Returns True if the trial is put into the queue again."""
        states = self._optuna.trial.TrialState
        state = {"complete": states.COMPLETE, "pruned": states.PRUNED, "stopped": states.PRUNED}
        with self._lock, _quiet():
            trial = self._open.pop(number)
            for name, value in _facts(outcome).items():
                trial.set_user_attr(name, value)
            tries = trial.user_attrs.get("tries", 0) + 1
            again = outcome.state == "lost" and tries <= RETRIES
            if again:
                self._repeat(trial, tries)
            found = state.get(outcome.state, states.FAIL)
            self.study.tell(number, outcome.score if found == states.COMPLETE else None, found)
            return again

    # looking

    def counted(self) -> int:
        """Returns the number of trials that were asked for, without repetitions."""
        waiting = self._optuna.trial.TrialState.WAITING
        trials = self.study.get_trials(deepcopy=False)
        return sum(t.state != waiting and not t.user_attrs.get("repeated") for t in trials)

    @property
    def best_score(self) -> float:
        """The best score of a complete trial; minus infinity if there is none."""
        trials = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))
        return max((t.value for t in trials), default=float("-inf"))

    @property
    def best(self) -> int | None:
        """Number of the best complete trial, the earliest of equals; None if there is none."""
        trials = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))
        return max(trials, key=lambda t: (t.value, -t.number)).number if trials else None

    @property
    def first(self) -> int | None:
        """Number of the complete trial of the defaults; None if there is none."""
        trials = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))
        return next((t.number for t in trials if t.user_attrs.get("first")), None)

    def seconds(self, number: int | None) -> float:
        """Returns the duration of a trial; 0 for None."""
        return 0.0 if number is None else self.study.get_trials(deepcopy=False)[number].user_attrs["seconds"]

    def best_value(self) -> tuple[str, float, int] | None:
        """Returns name and value of the metric of the best trial, and its number."""
        best = self.best
        if best is None:
            return None
        trial = self.study.get_trials(deepcopy=False)[best]
        sign = 1 if trial.user_attrs["greater"] else -1
        return trial.user_attrs["metric"], sign * trial.value, best

    def rows(self) -> list[dict[str, Any]]:
        """Returns a record of each finished trial, in their order."""
        states = self._optuna.trial.TrialState
        found = []
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.is_finished() and not trial.user_attrs.get("repeated"):
                state = trial.user_attrs.get("state", "failed")
                value = trial.value if trial.state == states.COMPLETE else _last(trial)
                facts = {k: v for k, v in trial.user_attrs.items() if k not in ("state", "first", "tries")}
                found.append({"trial": trial.number, "state": state, "score": value, **facts})
        return found

    def importances(self) -> dict[str, float]:
        """Returns the share of each parameter in the differences between trials; empty for few trials."""
        complete = self.study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))
        if len(complete) < STARTUP or len({t.value for t in complete}) < 2:
            return {}
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
        with _quiet():
            try:
                found = self._optuna.importance.get_param_importances(self.study, evaluator=evaluator)
            except (ValueError, RuntimeError):  # no parameter is in every trial
                return {}
        return {name: value for name, value in found.items() if value == value}


def _last(trial: Any) -> float | None:
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else None


def _facts(outcome: Outcome) -> dict[str, Any]:
    """Returns the part of an outcome that the journal keeps."""
    facts: dict[str, Any] = {"state": outcome.state, "seconds": round(outcome.seconds, 3), "epochs": outcome.epochs}
    if outcome.state == "complete":
        facts |= {"metrics": dict(outcome.metrics), "weights": outcome.weights, "cut": outcome.cut}
        facts |= {"metric": outcome.metric, "greater": outcome.greater}
    if outcome.error is not None:
        facts["error"] = str(outcome.error)
    return facts


def _mend(path: Path) -> None:
    """Removes what a killed process left: the lock of the journal, and a line without an end."""
    for suffix in (".lock", ".lock.rename"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides Optuna's messages, and its warnings about features that may change."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def describe(space: Space) -> dict[str, str]:
    """Returns the space as texts."""
    return {
        name: str(search) if isinstance(search, Range) else ", ".join(map(str, search))
        for name, search in space.items()
    }
