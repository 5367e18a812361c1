"""Functions of users in the parameters of an estimator: their names, and what a model folder knows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from recurra._util.messages import hint
from recurra.errors import UsageError

from .optimizers import OPTIMIZERS, SCHEDULES

KNOWN: dict[str, tuple[str, ...]] = {"optimizer": tuple(OPTIMIZERS), "schedule": tuple(SCHEDULES)}
"""Parameters of all tasks that may be functions, with the names that need none; see `Estimator.functions`."""

LOST = "the model was trained with"
"""Beginning of the warning about a loaded model that lacks functions."""


def name_of(value: Any) -> Any:
    """Returns the names of functions and objects for a model folder; names and None stay.

    Example:
        >>> name_of([partial(min, key=abs), {"a": "b"}, Mapping])
        ['builtins.min(key=builtins.abs)', {'a': 'b'}, 'collections.abc.Mapping']
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): name_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [name_of(item) for item in value]
    if isinstance(value, partial):
        given = [*map(str, map(name_of, value.args)), *(f"{k}={name_of(v)}" for k, v in value.keywords.items())]
        return f"{name_of(value.func)}({', '.join(given)})"
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("__main__.")


def names_of(estimator: Any) -> dict[str, Any]:
    """Returns the names of the functions in the parameters of an estimator."""
    return {name: name_of(getattr(estimator, name)) for name in estimator.functions}


def check_kinds(estimator: Any) -> None:
    """Checks that the parameters are names, functions or objects.

    Raises:
        UsageError: a parameter is something else.
    """
    for name in estimator.functions:
        value = getattr(estimator, name)
        items = list(_items(value)) if name == "metrics" else [value]
        for item in items:
            usable = item is None or isinstance(item, str) or callable(item) or hasattr(item, "update")
            if not usable or (item is None and name == "optimizer"):
                raise UsageError(f"{name} is a name or a function, got {item!r:.60}")


def check_known(estimator: Any) -> None:
    """Checks before training that every function is there.

    Raises:
        UsageError: a name is unknown, such as that of a function in a loaded model.
    """
    for name, given in _unknown(estimator):
        kinds = estimator.functions[name]
        words = f"one of {', '.join(kinds)}, or a function" if kinds else "a function"
        raise UsageError(
            f"{name} is {words}, not {given!r:.80}{hint(given, kinds)}\n"
            f"a model folder has only the name of a function; set it again with set_params({name}=...)"
        )


def take_functions(model: Any, other: Any) -> None:
    """Sets the functions that a loaded model lacks to those of another estimator with the same names."""
    for name in model.functions:
        given = getattr(other, name)
        if getattr(model, name) == name_of(given):
            setattr(model, name, given)


def lost_in_folder(estimator: Any) -> str:
    """Returns a sentence on the functions that evaluations of a loaded model lack; empty if it lacks none."""
    lost = [f"{name}={given}" for name, given in _unknown(estimator) if name in ("loss", "metrics")]
    if not lost:
        return ""
    return (
        f"{LOST} {', '.join(lost)}, which its folder does not contain. Predictions are the same. "
        "An evaluation uses the loss and the metrics of the task, unless set_params gives the functions again."
    )


def _unknown(estimator: Any) -> Iterator[tuple[str, str]]:
    for name, known in estimator.functions.items():
        for item in _items(getattr(estimator, name)):
            if isinstance(item, str) and item not in known:
                yield name, item


def _items(value: Any) -> Iterator[Any]:
    """Yields the items of a list or a dictionary, or the value itself."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    else:
        yield value
