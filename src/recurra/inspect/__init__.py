"""Seeing inside: every gate and state of a model on its inputs, how far it remembers, and why it answers as it does."""

from .gradients import Reach, gradient_reach
from .subject import Subject, subject_of
from .trace import Trace, trace

__all__ = ["Reach", "Subject", "Trace", "gradient_reach", "subject_of", "trace"]
