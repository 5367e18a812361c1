"""A measure from outside the package, in one file."""

from __future__ import annotations

from typing import Any

from recurra.inspect import Subject, trace
from recurra.inspect.core.registry import Measure, Section, Text, register


def mean_state(model: Any, x: Any = None) -> float:
    """Mean of the hidden state over all sequences, steps and units."""
    return float(trace(model, x, names=["hidden"])["hidden"].mean())


def compute(subject: Subject) -> float:
    return mean_state(subject)


def payload(mean: float, parts: Any, row: int) -> dict[str, Any]:
    return {"mean": mean, "shown": list(parts)}


SCRIPT = """
R.addStrings({ en: { meanIs: "The mean is {m}." }, ko: { meanIs: "평균은 {m}입니다." } });
R.measure("mean-state", (found, about) => {
  const line = R.el("p.hint");
  const draw = () => { line.textContent = R.t("meanIs", { m: R.number(found.mean) }); };
  return { section: R.section("mean-state", about.title, about.description, line), draw, fit: draw };
});
"""

register(
    Measure(
        mean_state,
        Text("Mean state", "상태의 평균"),
        Text("Mean of the hidden state.", "은닉 상태의 평균입니다."),
        Section("mean-state", compute, payload, SCRIPT),
    )
)
