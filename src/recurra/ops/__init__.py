"""Recurrence over time: one call, several engines, and an explanation of which one serves."""

from typing import Any

from recurra._util.lazy_names import earlier_names

from . import registry
from .call_spec import MEMORIES, PRECISIONS, CallSpec
from .dispatch import Explanation, explain, recurrence
from .dropout import batch_part, dropout, uniform
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
    "batch_part",
    "dropout",
    "explain",
    "linear",
    "record",
    "recurrence",
    "register_engine",
    "replay",
    "reproducible_algebra",
    "total",
    "uniform",
]


def _open_stream(stack: Stack, weights: Any, batch: int, *, half: bool) -> Any:
    return registry.open_session(stack, weights, batch, bf16=half)


def _quick_training(native: Any, *args: Any, half: bool, **options: Any) -> Any:
    return native.train(*args, bf16=half, **options)


__getattr__ = earlier_names(
    __name__,
    {
        "Call": ":CallSpec",
        "open_stream": ".registry:open_session",
        "quick_layer": ".registry:fast_layer",
        "quick_training": ".registry:FastLayer.train",
    },
    {"open_stream": _open_stream, "quick_training": _quick_training},
)
