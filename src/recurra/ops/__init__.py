"""Recurrence over time: one call, several engines, and an explanation of which one serves."""

import warnings
from typing import Any

from . import registry
from .call_spec import MEMORIES, PRECISIONS, CallSpec
from .dispatch import Explanation, explain, recurrence
from .dropout import dropout
from .recording import Record, record, replay
from .reference import Place, Watcher
from .registry import ENGINES, Engine, register_engine
from .reproducible import Linear, batch_invariant, linear, reproducible_algebra, total
from .stack import Stack

__all__ = [
    "ENGINES",
    "MEMORIES",
    "PRECISIONS",
    "CallSpec",
    "Engine",
    "Explanation",
    "Linear",
    "Place",
    "Record",
    "Stack",
    "Watcher",
    "batch_invariant",
    "dropout",
    "explain",
    "linear",
    "record",
    "recurrence",
    "register_engine",
    "replay",
    "reproducible_algebra",
    "total",
]


def _open_stream(stack: Stack, weights: Any, batch: int, *, half: bool) -> Any:
    return registry.open_session(stack, weights, batch, bf16=half)


def _quick_training(native: Any, *args: Any, half: bool, **options: Any) -> Any:
    return native.train(*args, bf16=half, **options)


_RENAMED: dict[str, tuple[str, Any]] = {
    "Call": ("recurra.ops.CallSpec", CallSpec),
    "open_stream": ("recurra.ops.registry.open_session", _open_stream),
    "quick_layer": ("recurra.ops.registry.fast_layer", registry.fast_layer),
    "quick_training": ("the method train of a recurra.ops.registry.FastLayer", _quick_training),
}


def __getattr__(name: str) -> Any:
    """Finds names of earlier versions."""
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new, found = _RENAMED[name]
    warnings.warn(f"recurra.ops.{name} is now {new}", DeprecationWarning, stacklevel=2)
    return found
