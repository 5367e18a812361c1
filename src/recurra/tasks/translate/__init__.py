"""Translation, many-to-many without alignment: a text for a text."""

from .alignment import Alignment
from .estimator import Candidate, Translator

__all__ = ["Alignment", "Candidate", "Translator"]
