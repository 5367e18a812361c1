"""Seeing inside: every gate and state of a model on its inputs, how far it remembers, and why it answers as it does."""

from .attribution import METHODS, Attribution, Completeness, attribute
from .browse import TokenActivity, UnitPage, browse
from .changes import Change, ablate, clamp, patch
from .gradients import Reach, gradient_reach
from .health import HealthCard, health
from .importance import Importance, importance
from .intervene import Effect, intervene
from .report import write_report
from .sanity import Sanity
from .similar import Match, Similar, similar
from .spans import Span, UnitName
from .subject import Subject, subject_of
from .telling import Relation, Telling, telling_units
from .trace import Trace, trace

__all__ = [
    "METHODS",
    "Attribution",
    "Change",
    "Completeness",
    "Effect",
    "HealthCard",
    "Importance",
    "Match",
    "Reach",
    "Relation",
    "Sanity",
    "Similar",
    "Span",
    "Subject",
    "Telling",
    "TokenActivity",
    "Trace",
    "UnitName",
    "UnitPage",
    "ablate",
    "attribute",
    "browse",
    "clamp",
    "gradient_reach",
    "health",
    "importance",
    "intervene",
    "patch",
    "similar",
    "subject_of",
    "telling_units",
    "trace",
    "write_report",
]
