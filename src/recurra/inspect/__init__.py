"""Inspection of models: gates and states, memory, gradients, attribution, interventions and the report page."""

from recurra._util.lazy_names import earlier_names

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
from .report.comparison import write_comparison
from .report.training import write_training
from .report.write import write_report
from .units.label_association import LabelAssociation, Relation, label_association
from .units.max_activating import TokenActivity, UnitPage, max_activating
from .units.similar_states import Match, Similar, similar
from .units.spans import Span, UnitName
from .units.unit_ablation import UnitAblation, unit_ablation
from .units.unit_pattern import PatternMatch, UnitPattern, unit_pattern

__all__ = [
    "METHODS",
    "Attribution",
    "Change",
    "Completeness",
    "Effect",
    "FixedPoints",
    "HealthCard",
    "Horizon",
    "LabelAssociation",
    "Match",
    "PatternMatch",
    "Reach",
    "Relation",
    "Sanity",
    "Similar",
    "Span",
    "Spectrum",
    "Subject",
    "TokenActivity",
    "Trace",
    "Trajectory",
    "UnitAblation",
    "UnitMemory",
    "UnitName",
    "UnitPage",
    "UnitPattern",
    "ablate",
    "attribute",
    "clamp",
    "fixed_points",
    "gradient_reach",
    "half_lives",
    "health",
    "impulse_response",
    "intervene",
    "jacobian_spectrum",
    "label_association",
    "max_activating",
    "memory_horizon",
    "patch",
    "similar",
    "subject_of",
    "trace",
    "trajectory",
    "unit_ablation",
    "unit_pattern",
    "write_comparison",
    "write_report",
    "write_training",
]

__getattr__ = earlier_names(
    __name__,
    {
        "Importance": ":UnitAblation",
        "Telling": ":LabelAssociation",
        "browse": ":max_activating",
        "figures": ".plots",
        "importance": ":unit_ablation",
        "telling_units": ":label_association",
    },
)
