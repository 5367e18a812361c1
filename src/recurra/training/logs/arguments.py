"""The arguments `logger` and `callbacks` of an estimator: their forms, and their checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from recurra._util.messages import hint
from recurra.errors import UsageError

LOGGERS = ("tensorboard", "mlflow", "wandb", "csv")


class Named(NamedTuple):
    """A logger that is given by its name.

    Attributes:
        name: one of `LOGGERS`.
        place: folder of its files, or the address of an MLflow server; None for the default.
    """

    name: str
    place: str | None = None


def loggers_of(value: Any) -> list[Any]:
    """Returns the loggers that an argument names or contains: `Named`, or objects of Lightning.

    Args:
        value: None, a name such as `"csv"` or `"csv=FOLDER"`, a logger of Lightning, or a list of them.

    Raises:
        UsageError: a name is unknown or given twice, or an object is no logger of Lightning.

    Example:
        >>> loggers_of(["tensorboard", "mlflow=http://127.0.0.1:5000"])
        [Named(name='tensorboard', place=None), Named(name='mlflow', place='http://127.0.0.1:5000')]
    """
    found = [_named(item) if isinstance(item, str) else item for item in _items(value)]
    names = [item.name for item in found if isinstance(item, Named)]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the logger {name} is given twice")
    objects = [item for item in found if not isinstance(item, Named)]
    if objects:
        from pytorch_lightning.loggers import Logger

        _check_kind("logger", objects, Logger, f"one of {', '.join(LOGGERS)}, or a logger of pytorch_lightning.loggers")
    return found


def callbacks_of(value: Any) -> list[Any]:
    """Returns the callbacks of Lightning that an argument contains.

    Args:
        value: None, a callback, or a list of callbacks.

    Raises:
        UsageError: an object is no callback of Lightning, or writes checkpoints.
    """
    found = _items(value)
    if found:
        from pytorch_lightning import Callback
        from pytorch_lightning.callbacks import Checkpoint

        _check_kind("callbacks", found, Callback, "callbacks of pytorch_lightning.callbacks")
        if any(isinstance(item, Checkpoint) for item in found):
            raise UsageError("callbacks cannot write checkpoints; use the argument checkpoint of fit")
    return found


def kinds_of(value: Any) -> list[str]:
    """Returns the names of loggers or callbacks for the model card: the class of an object, a name without its place.

    Example:
        >>> kinds_of(["csv=runs"])
        ['csv']
    """
    return [item.partition("=")[0] if isinstance(item, str) else type(item).__name__ for item in _items(value)]


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return list(value) if several else [value]


def _named(text: str) -> Named:
    name, mark, place = text.partition("=")
    if name not in LOGGERS or (mark and not place):
        raise UsageError(f"logger is one of {', '.join(LOGGERS)}, not {text!r:.80}{hint(name, LOGGERS)}")
    return Named(name, place or None)


def _check_kind(argument: str, objects: list[Any], kind: type, wanted: str) -> None:
    for item in objects:
        if not isinstance(item, kind):
            given = type(item)
            other = (
                " (classes of the package lightning are different)" if given.__module__.startswith("lightning.") else ""
            )
            raise UsageError(f"{argument}: {given.__module__}.{given.__qualname__} is not {wanted}{other}")
