"""Recurrence over time: one call, several engines, and an explanation of which one serves."""

from .call import Call
from .dispatch import ENGINES, Explanation, explain, recurrence
from .native import layer as quick_layer
from .native import open_stream
from .native import train as quick_training
from .stack import Stack

__all__ = [
    "ENGINES",
    "Call",
    "Explanation",
    "Stack",
    "explain",
    "open_stream",
    "quick_layer",
    "quick_training",
    "recurrence",
]
