"""What the measures say about the sequence of a page: attribution, gradient reach, memory of the units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.errors import DataError, UsageError
from recurra.inspect.attribution.attribute import Attribution, attribute
from recurra.inspect.gradients.reach import Reach, gradient_reach
from recurra.inspect.memory.half_lives import UnitMemory, half_lives
from recurra.inspect.memory.impulse import impulse_response
from recurra.tasks.subject import Subject

from .quantize import pack

if TYPE_CHECKING:
    import xarray

MANY_STEPS = 2000
"""Longer sequences are not measured for a page: it would take minutes."""
POINTS, GAP = (32, 128, 512), 0.05
"""Points on the way of integrated gradients, until their sum is so near to what they explain."""
LAGS = 300
"""Points of a curve over lags."""

Why = dict[str, Any]
Parts = dict[str, "xarray.Dataset"]


@dataclass(frozen=True)
class Findings:
    """Results of the measures; in place of one that cannot be taken stands why."""

    attribution: Attribution | Why
    reach: Reach | Why
    kept: Reach | Why
    gate: UnitMemory | Why
    pushed: UnitMemory | Why

    def to_json(self, parts: Parts, row: int) -> dict[str, Any]:
        """For the page.

        Args:
            parts: the recurrent layers on the page, each with the steps and units of one sequence that are shown.
            row: which sequence that is.
        """
        return {
            "attribution": self.attribution if isinstance(self.attribution, dict) else self._attribution(parts, row),
            "reach": self.reach if isinstance(self.reach, dict) else self._reach(parts),
            "memory": self.pushed if isinstance(self.pushed, dict) else self._memory(parts),
        }

    def _attribution(self, parts: Parts, row: int) -> dict[str, Any]:
        found: Any = self.attribution
        layer = found.values.attrs["layer"]
        name = next((n for n in parts if n == layer or (layer == "layer" and n == "")), None)
        if name is None:
            return {"why": "said", "text": f"the input of {layer} is not among the layers on the page"}
        values = found.values.values[row][parts[name]["time"].values]
        return {
            "part": name,
            "values": [round(float(v), 6) for v in values],
            "total": float(found.completeness.total[row]),
            "score": float(found.score[row]),
            "nothing": float(found.baseline_score[row]),
            "gap": found.completeness.gap,
            "points": found.question.steps,
            "unit": found.values.attrs["score"],
        }

    def _reach(self, parts: Parts) -> dict[str, Any]:
        reach: Any = self.reach
        curves = {}
        for name in parts:
            if name in reach.parts:
                data = reach.parts[name]["gradient"].values
                lags = _lags(data.shape[-1])
                curves[name] = {"lags": lags, "all": _plain(data[..., lags])}
                if not isinstance(self.kept, dict):
                    curves[name]["kept"] = _plain(self.kept.parts[name]["gradient"].values[..., lags])
        return {"verdict": reach.verdict, "parts": curves}

    def _memory(self, parts: Parts) -> dict[str, Any]:
        pushed: Any = self.pushed
        gate: Any = None if isinstance(self.gate, dict) else self.gate
        found = {}
        for name, data in parts.items():
            units = data["unit"].values
            if name not in pushed.parts or pushed.parts[name].sizes["unit"] <= units.max():
                continue  # a projected state has units of its own
            response = pushed.parts[name]["response"].values
            lags = _lags(response.shape[2])
            shown = np.moveaxis(np.nan_to_num(response[:, :, lags][..., units]), -1, -2)
            found[name] = {
                "lags": lags,
                "response": pack(shown, exact=False),
                "measured": _plain(pushed.parts[name]["half_life"].values[..., units]),
            }
            if gate is not None:
                found[name]["gate"] = _plain(gate.parts[name]["half_life"].values[..., units])
                found[name]["kept"] = _plain(gate.parts[name]["kept"].values[..., units])
        return {"verdicts": [m.verdict for m in (gate, pushed) if m is not None], "parts": found}


def measure(subject: Subject, parts: Parts) -> Findings:
    """Takes all measures, on all sequences of a subject.

    Args:
        subject: the model and its inputs.
        parts: its recurrent layers.
    """
    steps = max(int(data["length"].max()) for data in parts.values())
    if not all(np.isfinite(array.values).all() for data in parts.values() for array in data.data_vars.values()):
        return Findings(*[{"why": "broken"}] * 5)
    if steps > MANY_STEPS:
        return Findings(*[{"why": "long", "most": MANY_STEPS}] * 5)
    return Findings(
        _tried(lambda: _attributed(subject, steps)),
        _tried(lambda: gradient_reach(subject)),
        _tried(lambda: gradient_reach(subject, via="cell")),
        _tried(lambda: half_lives(subject)),
        _tried(lambda: impulse_response(subject)),
    )


def _attributed(subject: Subject, steps: int) -> Attribution:
    """Integrated gradients over so many points that they add up to what they explain, if these are not too many."""
    for points in POINTS[:-1]:
        found = attribute(subject, steps=points)
        explained = np.abs(found.completeness.difference).max(initial=0)
        if found.completeness.gap <= GAP * explained or steps * points > MANY_STEPS * POINTS[0]:
            return found
    return attribute(subject, steps=POINTS[-1])


def _tried(measure: Callable[[], Any]) -> Any:
    try:
        return measure()
    except (UsageError, DataError) as error:
        return {"why": "said", "text": str(error).splitlines()[0]}


def _lags(count: int) -> list[int]:
    """As many lags as a curve needs."""
    return sorted(set(np.linspace(0, count - 1, min(count, LAGS)).round().astype(int).tolist()))


def _plain(values: np.ndarray) -> Any:
    """Nested lists for JSON: six digits, null for what is not known, "inf" for what has no end."""
    if values.ndim:
        return [_plain(v) for v in values]
    value = float(values)
    return float(f"{value:.6g}") if np.isfinite(value) else ("inf" if value > 0 else None)
