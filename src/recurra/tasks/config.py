"""The records of config.json and metrics.json that all tasks share.

The record of `params` is derived from the fields of the estimator's dataclass, so that a new parameter is declared
once. Each task adds the keys of what `fit` learnt in a subclass of `FolderConfig` beside its estimator.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from recurra._util.schema import Flag, Natural, Record, Scalar, empty_list
from recurra.io import Provenance

from .params import hints_of, params_of

METRICS = "metrics.json"


class FolderConfig(Record, kw_only=True):
    """config.json, without what each task adds."""

    format: Literal["recurra"]
    schema_version: int
    task: str
    params: dict[str, Any]
    data: dict[str, Scalar]
    files: list[str]
    gates: list[str] = empty_list()
    states: list[str] = empty_list()
    provenance: Provenance = msgspec.field(default_factory=Provenance)


class ComparisonRecord(Record):
    """The verdict on the network beside its baselines, see `recurra.tasks.baselines.Comparison`."""

    figure: str
    light: Literal["green", "yellow", "red", "unknown"]
    sentence: str
    best: str = ""


class Metrics(Record, forbid_unknown_fields=False):
    """metrics.json: metrics for people, so that further ones may be there.

    A metric that was not finite is `null`; early versions wrote NaN.
    """

    best_epoch: Natural
    epochs: Natural
    history: list[dict[str, float | None]]
    epochs_planned: Natural | None = None
    loss: float | None = None
    valid: dict[str, float | None] = msgspec.field(default_factory=dict)
    baselines: dict[str, dict[str, float | None]] | None = None
    cross_validation: dict[str, dict[str, float | None]] | None = None
    comparison: ComparisonRecord | None = None
    watch: list[dict[str, Scalar]] = empty_list()

    def check(self) -> None:
        """See `Record.check`."""
        if self.best_epoch > self.epochs:
            raise ValueError(f"best_epoch is {self.best_epoch} of {self.epochs}")
        if any("loss" not in row for row in self.history):
            raise ValueError("an epoch of history has no loss")
        for row in self.watch:
            for name, value in row.items():
                if isinstance(value, str) != name.endswith("_at"):
                    raise ValueError(f"watch.{name} is {value!r:.40}, which has another type")


class Items(Record):
    """A dictionary whose keys need not be strings, as pairs."""

    items: list[tuple[Scalar, Any]]


@cache
def params_type(estimator: type) -> type[msgspec.Struct]:
    """The record of an estimator's parameters, from the fields of its dataclass."""
    hints, specs, fields = hints_of(estimator), params_of(estimator), []
    for field in dataclasses.fields(estimator):
        kind = hints[field.name]
        if specs[field.name].at_least != 1:  # sizes are never bools
            kind = _json_type(kind)
        fields.append((field.name, kind, msgspec.field(default=None)))
    return msgspec.defstruct(f"{estimator.__name__}Params", fields, forbid_unknown_fields=True, kw_only=True)


def _json_type(hint: Any) -> Any:
    """The type that a parameter has in JSON.

    Python does not tell an int from a bool in a signature, and users write `verbose=True` and `bidirectional=1`.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        known = [_json_type(part) for part in parts]
        return Union[tuple(kind for kind in known if kind is not None)]  # noqa: UP007  (made from a list)
    if hint is bool:
        return Flag
    if hint is int:
        return int | bool
    if hint in (float, str, type(None), Any) or origin in (Literal, Annotated):
        return hint
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Items
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return list[_json_type(parts[0])]
    return None  # objects, such as a random generator, are not written
