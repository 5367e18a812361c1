"""Recurrence over time: one call, several engines, and an explanation of which one serves."""

from .call import Call
from .dispatch import ENGINES, Explanation, explain, recurrence
from .stack import Stack

__all__ = ["ENGINES", "Call", "Explanation", "Stack", "explain", "recurrence"]
