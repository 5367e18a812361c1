"""A search of parameters from the data to the best model."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from recurra._util.atomic import locked, reason, remove, tidy
from recurra._util.messages import counted
from recurra.errors import UsageError
from recurra.tasks.restore import load
from recurra.tasks.starting import params_to_take
from recurra.training.extensions import LOST, names_of, take_functions
from recurra.training.progress import line_for

from .places import Place, local_places
from .plot import plot
from .result import PLOT, Models, conclude
from .run import Limits, Run
from .space import Space, check_search
from .study import JOURNAL, Study, describe
from .trial import Problem

OF_A_RUN = ("logger", "callbacks")
"""Parameters that trials do not have."""


def tune(
    estimator: Any,
    data: tuple[Any, ...],
    options: Mapping[str, Any],
    search: Mapping[str, Any],
    held: tuple[Any, Any],
    limits: Limits,
    place: tuple[str | Path | None, bool],
    say: Callable[[str], None] = lambda message: None,
) -> Any:
    """Searches for parameters; see `Estimator.tune`.

    Args:
        estimator: the estimator, which becomes the best model.
        data: positional arguments of `fit`.
        options: keyword arguments of `fit`.
        search: values to try.
        held: validation data and test data; None to cut them off.
        limits: when to end.
        place: folder of the journal, or None; and whether to continue the search there.
        say: receives messages for people.
    """
    begin = time.monotonic() if limits.begin is None else limits.begin
    estimator._check_params()
    data, options = _arguments(estimator, data, options)
    seed = estimator._seed()
    parts = estimator._search_parts(data, *map(_columns, held), seed)
    space = _space(estimator, data, check_search(estimator, search))
    known = estimator._search_defaults(*data)
    plain = type(estimator)(
        **{**estimator.get_params(deep=False), "random_state": seed, **dict.fromkeys(OF_A_RUN), **parts.params}
    )
    problem = Problem(plain, parts.divisions, parts.whole, options)
    identity = _identity(estimator, space, parts, seed)
    if parts.note:
        say(parts.note)
    with _folder(place) as folder:
        study = Study(folder / JOURNAL, space, {name: known[name] for name in space}, seed, identity)
        if study.counted():
            say(f"the search continues after {counted(study.counted(), 'trial')}")
        models = Models(folder, lambda path: _loaded(estimator, path))
        run = Run(study, models, limits, begin, parts)
        with _places(problem, limits) as places:
            say(f"{counted(len(space), 'parameter')} to search; {_processes(places)}")
            run.all(places, line_for(Console(stderr=True)) if estimator.verbose else None)
        run.refuse_nothing()
        cut = run.train_again(problem)
        facts = {"space": describe(space), "note": parts.note, "processes": len(places), "cut": cut}
        facts["minutes"] = round((time.monotonic() - begin) / 60, 3)
        conclude(estimator, study, models, run.default, (data, options, parts.test), facts)
        plot(estimator.tuning_, folder / PLOT)
    return estimator


def _arguments(
    estimator: Any, data: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the data and the other arguments of `fit`, if some of the data are given by name."""
    try:
        bound = inspect.signature(estimator.fit).bind(*data, **options)
    except TypeError as error:
        raise UsageError(f"the arguments do not fit this task: {error}") from None
    if any(name in bound.kwargs for name in ("checkpoint", "checkpoint_minutes", "resume", "workers")):
        raise UsageError("tune has its own folder and workers; checkpoints are not for trials")
    return bound.args, bound.kwargs


def _columns(given: Any) -> tuple[Any, ...] | None:
    return given if given is None or isinstance(given, tuple) else (given,)


def _loaded(estimator: Any, path: Path) -> Any:
    """Reads the model of a trial, with the cell and the functions of the estimator."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", LOST)
        found = load(path, cells=[] if isinstance(estimator.cell, str) else [estimator.cell])
    take_functions(found, estimator)
    return found


def _space(estimator: Any, data: tuple[Any, ...], given: Space) -> Space:
    """Returns the declared space without the parameters that the user has set, with the given values."""
    plain = type(estimator)().get_params(deep=False)
    fixed = {
        name
        for name, value in estimator.get_params(deep=False).items()
        if value is not plain[name] and value != plain[name]
    }
    fixed |= params_to_take(estimator).keys()
    own = {name: search for name, search in estimator._search_space(*data).items() if name not in fixed}
    space = {**own, **given}
    if not space:
        raise UsageError("there is nothing to search: every parameter is set")
    return space


def _identity(estimator: Any, space: Space, parts: Any, seed: int) -> dict[str, str]:
    """Returns texts that must be equal for a search to be continued."""
    import joblib

    params = {**estimator.get_params(deep=False), **names_of(estimator)}
    fixed = {name: repr(value) for name, value in sorted(params.items()) if name not in space}
    fixed = {
        name: value
        for name, value in fixed.items()
        if name not in ("verbose", "device", "engine", "random_state", *OF_A_RUN)
    }
    return {
        "task": estimator.task,
        "options": repr(fixed),
        "parameters to search": repr(describe(space)),
        "seed": str(seed),
        "data": str(joblib.hash((parts.divisions, parts.test))),
    }


@contextlib.contextmanager
def _folder(place: tuple[str | Path | None, bool]) -> Iterator[Path]:
    """Yields the folder of the search, locked."""
    given, resume = place
    if given is None:
        with tempfile.TemporaryDirectory(prefix="recurra-tune-") as name:
            yield Path(name)
        return
    folder = Path(given)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} for the search cannot be created: {reason(error)}") from None
    with locked(folder, f"another process is searching in {folder}; wait for it or choose another folder"):
        if (folder / JOURNAL).exists() and not resume:
            raise UsageError(
                f"{folder} contains an earlier search\ncontinue it with resume=True, or choose another folder"
            )
        tidy(folder)
        yield folder


@contextlib.contextmanager
def _places(problem: Problem, limits: Limits) -> Iterator[Sequence[Place]]:
    """Yields the processes that run trials, and ends them."""
    with contextlib.ExitStack() as stack:
        if limits.cluster is not None:
            from .on_ray import ray_places

            places = stack.enter_context(ray_places(problem, limits.cluster, limits.workers))
        else:
            places = local_places(problem, limits.workers, limits.trials)
        try:
            yield places
        finally:
            for place in places:
                place.close()


def _processes(places: Sequence[Place]) -> str:
    return "trials run one after the other" if len(places) == 1 else f"{len(places)} trials run at the same time"


def remove_search(folder: Path) -> None:
    """Removes the folder of an earlier search."""
    if (folder / JOURNAL).exists():
        remove(folder)
    elif folder.exists() and not any(folder.iterdir()):
        shutil.rmtree(folder)
