"""Experiments that anyone can rerun, each with a table and a figure: `recurra lab` and `recurra.lab`."""

from .result import Result
from .vanishing import vanishing

__all__ = ["Result", "vanishing"]
