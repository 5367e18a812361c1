"""Recurrence over time: one call, several engines, and an explanation of which one serves."""

from .call import MEMORIES, PRECISIONS, Call
from .dispatch import ENGINES, Engine, Explanation, explain, recurrence, register_engine
from .dropout import dropout
from .native import forking
from .native.engine import layer as quick_layer
from .native.engine import open_stream
from .native.engine import train as quick_training
from .recording import Record, record, replay
from .reference import Place, Watcher
from .reproducible import Linear, linear, reproducible_algebra, total
from .stack import Stack

forking.register()

__all__ = [
    "ENGINES",
    "MEMORIES",
    "PRECISIONS",
    "Call",
    "Engine",
    "Explanation",
    "Linear",
    "Place",
    "Record",
    "Stack",
    "Watcher",
    "dropout",
    "explain",
    "linear",
    "open_stream",
    "quick_layer",
    "quick_training",
    "record",
    "recurrence",
    "register_engine",
    "replay",
    "reproducible_algebra",
    "total",
]
