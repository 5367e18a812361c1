"""Recurrence over time: one call, several engines, and an explanation of which one serves."""

from .call import Call
from .dispatch import ENGINES, Explanation, explain, recurrence
from .native import layer as quick_layer
from .stack import Stack

__all__ = ["ENGINES", "Call", "Explanation", "Stack", "explain", "quick_layer", "recurrence"]
