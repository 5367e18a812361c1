"""Two models on the same labelled data: their metrics, and a test of the difference."""

from .measure import ComparedModel, measure
from .paired import Paired, paired_test

__all__ = ["ComparedModel", "Paired", "measure", "paired_test"]
