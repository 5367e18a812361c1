"""Recurrent networks whose gates and states you can inspect, trained on your own sequences.

Public names are imported at first use, so that `import recurra` and `recurra --help` are quick.
"""

from typing import TYPE_CHECKING

from ._util.lazy_names import at_first_use
from .tasks.registry import BUILT_IN

if TYPE_CHECKING:
    from . import cells as cells
    from . import inspect as inspect
    from . import lab as lab
    from . import nn as nn
    from . import ops as ops
    from .exporting import export as export
    from .inspect import gradient_reach as gradient_reach
    from .inspect import trace as trace
    from .nn import accelerate as accelerate
    from .nn import from_keras as from_keras
    from .nn import from_onnx as from_onnx
    from .nn import from_torch as from_torch
    from .nn import restore as restore
    from .nn import to_torch as to_torch
    from .tasks import *  # noqa: F403  (the estimators and `load`)

__version__ = "0.1.0"

_PLACES = {
    **{name: f".{name}" for name in ("cells", "inspect", "lab", "nn", "ops")},
    **{name: f".inspect:{name}" for name in ("gradient_reach", "trace")},
    "export": ".exporting:export",
    **{name: f".nn:{name}" for name in ("accelerate", "from_keras", "from_onnx", "from_torch", "restore", "to_torch")},
    **{name: f".tasks:{name}" for name in (*(task.class_name for task in BUILT_IN), "load")},
}

__all__ = sorted(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]


__getattr__ = at_first_use(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
