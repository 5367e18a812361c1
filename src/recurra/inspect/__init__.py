"""Seeing inside: every gate and state of a model on its inputs, how far it remembers, and why it answers as it does."""

from .health import HealthCard, health
from .subject import Subject, subject_of
from .trace import Trace, trace

__all__ = ["HealthCard", "Subject", "Trace", "health", "subject_of", "trace"]
