"""Seeing inside: every gate and state of a model on its inputs, how far it remembers, and why it answers as it does."""

from .attribution import METHODS, Attribution, Completeness, attribute
from .browse import TokenActivity, UnitPage, browse
from .changes import Change, ablate, clamp, patch
from .fixed_points import FixedPoints, fixed_points
from .gradients import Reach, gradient_reach
from .health import HealthCard, health
from .horizon import Horizon, memory_horizon
from .importance import Importance, importance
from .impulse import impulse_response
from .intervene import Effect, intervene
from .jacobian import Spectrum, jacobian_spectrum
from .memory import UnitMemory, half_lives
from .report import write_report
from .sanity import Sanity
from .similar import Match, Similar, similar
from .spans import Span, UnitName
from .subject import Subject, subject_of
from .telling import Relation, Telling, telling_units
from .trace import Trace, trace
from .trajectory import Trajectory, trajectory

__all__ = [
    "METHODS",
    "Attribution",
    "Change",
    "Completeness",
    "Effect",
    "FixedPoints",
    "HealthCard",
    "Horizon",
    "Importance",
    "Match",
    "Reach",
    "Relation",
    "Sanity",
    "Similar",
    "Span",
    "Spectrum",
    "Subject",
    "Telling",
    "TokenActivity",
    "Trace",
    "Trajectory",
    "UnitMemory",
    "UnitName",
    "UnitPage",
    "ablate",
    "attribute",
    "browse",
    "clamp",
    "fixed_points",
    "gradient_reach",
    "half_lives",
    "health",
    "importance",
    "impulse_response",
    "intervene",
    "jacobian_spectrum",
    "memory_horizon",
    "patch",
    "similar",
    "subject_of",
    "telling_units",
    "trace",
    "trajectory",
    "write_report",
]
