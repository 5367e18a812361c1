"""Recurrent networks that train on your own sequences and can be seen through.

The heavy names are imported at first use, so that `import recurra` and `recurra --help` are quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import cells, inspect, lab, nn, ops
    from .inspect import gradient_reach, trace
    from .nn import accelerate, restore
    from .tasks import (
        BlankFiller,
        Forecaster,
        LanguageModel,
        SequenceClassifier,
        SequenceRegressor,
        SequenceTagger,
        Transcriber,
        Translator,
        load,
    )

__version__ = "0.1.0"

__all__ = [
    "BlankFiller",
    "Forecaster",
    "LanguageModel",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "Transcriber",
    "Translator",
    "accelerate",
    "cells",
    "gradient_reach",
    "inspect",
    "lab",
    "load",
    "nn",
    "ops",
    "restore",
    "trace",
]

_HOME = {
    "BlankFiller": "tasks",
    "Forecaster": "tasks",
    "LanguageModel": "tasks",
    "SequenceClassifier": "tasks",
    "SequenceRegressor": "tasks",
    "SequenceTagger": "tasks",
    "Transcriber": "tasks",
    "Translator": "tasks",
    "accelerate": "nn",
    "gradient_reach": "inspect",
    "load": "tasks",
    "restore": "nn",
    "trace": "inspect",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'recurra' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
