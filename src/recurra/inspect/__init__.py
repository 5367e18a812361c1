"""Seeing inside: every gate and state of a model on its inputs, how far it remembers, and why it answers as it does."""

from .attribution.attribute import METHODS, Attribution, Completeness, attribute
from .attribution.sanity import Sanity
from .core.subject import Subject, subject_of
from .core.trace import Trace, trace
from .gradients.jacobian import Spectrum, jacobian_spectrum
from .gradients.reach import Reach, gradient_reach
from .health import HealthCard, health
from .interventions.changes import Change, ablate, clamp, patch
from .interventions.intervene import Effect, intervene
from .memory.fixed_points import FixedPoints, fixed_points
from .memory.half_lives import UnitMemory, half_lives
from .memory.horizon import Horizon, memory_horizon
from .memory.impulse import impulse_response
from .memory.trajectory import Trajectory, trajectory
from .report.write import write_report
from .units.label_association import Relation, Telling, telling_units
from .units.max_activating import TokenActivity, UnitPage, browse
from .units.similar_states import Match, Similar, similar
from .units.spans import Span, UnitName
from .units.unit_ablation import Importance, importance

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
