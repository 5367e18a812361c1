"""Seeing inside: every gate and state of a model on its inputs, how far it remembers, and why it answers as it does."""

from .fixed_points import FixedPoints, fixed_points
from .gradients import Reach, gradient_reach
from .horizon import Horizon, memory_horizon
from .impulse import impulse_response
from .jacobian import Spectrum, jacobian_spectrum
from .memory import UnitMemory, half_lives
from .subject import Subject, subject_of
from .trace import Trace, trace
from .trajectory import Trajectory, trajectory

__all__ = [
    "FixedPoints",
    "Horizon",
    "Reach",
    "Spectrum",
    "Subject",
    "Trace",
    "Trajectory",
    "UnitMemory",
    "fixed_points",
    "gradient_reach",
    "half_lives",
    "impulse_response",
    "jacobian_spectrum",
    "memory_horizon",
    "subject_of",
    "trace",
    "trajectory",
]
