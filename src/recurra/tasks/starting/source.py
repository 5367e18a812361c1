"""The model that training starts from: how it is found, and which parameters are taken from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

from recurra._util.messages import listed
from recurra._util.terminal import say
from recurra.errors import UsageError
from recurra.tasks.base import Estimator
from recurra.tasks.params import params_of
from recurra.tasks.registry import find
from recurra.tasks.restore import load

from .language import Start
from .weights import digest

COPY = "start"
"""Folder of the copy of the model in the folder of a run, so that the run can be resumed if the model changes."""


def begin(estimator: Any, folder: Path | None, resumes: bool) -> Start | None:
    """Finds the model that `start_from` names, and sets the parameters that are taken from it.

    With `warm_start`, a fitted estimator starts from its own weights.

    Args:
        estimator: the new model.
        folder: folder of the run; None for none. It gets a copy of the model.
        resumes: whether the run continues, so that the copy in `folder` is used.

    Returns:
        The model; None to start from random weights.

    Raises:
        UsageError: the model has another task, or a parameter differs from that of the model.
        ModelFolderError: the folder is missing, damaged or of a newer version.
    """
    place = None if folder is None else folder / COPY
    stored = place is not None and resumes and place.is_dir()
    fitted = hasattr(estimator, "network_")
    own = estimator.warm_start and (fitted or (stored and estimator.start_from is None))
    given = estimator.start_from
    if not own:
        _forget_taken(estimator)
        if given is None:
            return None
    if place is not None and stored:
        model = _model(estimator, place)
    else:
        model = copy(estimator) if own else _model(estimator, given)
        if place is not None:
            model.save(place)
    if own:
        return Start(model, _name(type(estimator).__name__, model), True)
    found = _checked(estimator, model, given)
    taken = _taken(estimator, found)
    for name, value in taken.items():
        setattr(estimator, name, value)
    estimator.source_params_ = taken
    if estimator.verbose:
        values = ", ".join(f"{name} {value}" for name, value in taken.items() if value is not None)
        say(f"training starts from {found.name}" + (f"; taken from it: {values}" if values else ""))
    return found


def params_to_take(estimator: Any) -> dict[str, Any]:
    """Returns the parameters that training takes from the model of `start_from`; none without a model.

    Raises:
        UsageError: see `begin`.
        ModelFolderError: likewise.
    """
    if estimator.start_from is None:
        return {}
    model = _model(estimator, estimator.start_from)
    return _taken(estimator, _checked(estimator, model, estimator.start_from))


def _forget_taken(estimator: Any) -> None:
    """Resets the parameters that an earlier `fit` took from a model."""
    plain = type(estimator)()
    for name, value in vars(estimator).pop("source_params_", {}).items():
        if _equal(getattr(estimator, name), value):
            setattr(estimator, name, getattr(plain, name))


def _model(estimator: Any, given: Any) -> Any:
    if isinstance(given, str | os.PathLike):
        cells = [] if isinstance(estimator.cell, str) else [estimator.cell]
        return load(Path(given), cells=cells)
    if not isinstance(given, Estimator):
        raise UsageError(f"start_from is a model folder or a fitted estimator, not {given!r:.60}")
    if not hasattr(given, "network_"):
        raise UsageError(f"start_from is a {type(given).__name__} that is not fitted: fit it first")
    return given


def _checked(estimator: Any, model: Any, given: Any) -> Start:
    """Refuses a model of a task that the new model cannot start from."""
    words = str(given) if isinstance(given, str | os.PathLike) else "the model of start_from"
    same = model.task == estimator.task
    if not same and not (estimator.starts_from_language and model.language() is not None):
        wanted = [estimator.task, *(("fill", "generate") if estimator.starts_from_language else ())]
        raise UsageError(
            f"{words} is a {find(model.task).label.lower()}; training for {estimator.task} starts from a model of "
            f"{listed(wanted, 10)}"
        )
    name = Path(given).resolve().name if isinstance(given, str | os.PathLike) else type(given).__name__
    return Start(model, _name(name, model), same)


def _name(name: str, model: Any) -> str:
    return f"{name} ({model.task}, weights {digest(model.network_)})"


def _taken(estimator: Any, start: Start) -> dict[str, Any]:
    """Returns the parameters to take. One that is not the default must be equal to that of the model."""
    specs, plain = params_of(type(estimator)), type(estimator)()
    values: Mapping[str, Any] = estimator.params_from(start.model)
    for name, value in values.items():
        own = getattr(estimator, name)
        if not _equal(own, value) and not _equal(own, getattr(plain, name)):
            option = specs[name].option or f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{name} is {own}, but the model that training starts from has {value}\n"
                f"leave {option.partition('/')[0]} out, or start from another model"
            )
    return dict(values)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return bool(one == other)
