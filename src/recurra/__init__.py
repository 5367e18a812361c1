"""Recurrent networks whose gates and states you can inspect, trained on your own sequences.

Public names are imported at first use, so that `import recurra` and `recurra --help` are quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .tasks.registry import BUILT_IN

if TYPE_CHECKING:
    from . import cells as cells
    from . import inspect as inspect
    from . import lab as lab
    from . import nn as nn
    from . import ops as ops
    from .inspect import gradient_reach as gradient_reach
    from .inspect import trace as trace
    from .nn import accelerate as accelerate
    from .nn import restore as restore
    from .tasks import *  # noqa: F403  (the estimators and `load`)

__version__ = "0.1.0"

_MODULES = ("cells", "inspect", "lab", "nn", "ops")
_HOME = {task.class_name: "tasks" for task in BUILT_IN} | {
    "accelerate": "nn",
    "gradient_reach": "inspect",
    "load": "tasks",
    "restore": "nn",
    "trace": "inspect",
}

__all__ = sorted([*_HOME, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'recurra' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
