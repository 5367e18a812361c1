"""Computes ratios, summaries and targets from times, and formats tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import hardware_limit
from .cases import GATES, Case

OURS = "recurra"
AGAINST = {"training": ("torch",), "bfloat16 training": ("torch",), "inference": ("torch", "onnxruntime")}
"""The peers that count: ratios refer to the fastest of them. Other peers are only shown."""

MOST_BUSY = 0.1
"""Maximum number of cores used by other programs. Threads that wait for a preempted one become much slower."""

TITLES = {
    "training": ("Training: forward and backward", "µs of"),
    "bfloat16 training": ("Training with bfloat16 products, compared with torch's float32", "µs of"),
    "inference": ("Inference", "µs of"),
    "float32 session": ("Streaming session, float32 weights", "µs of a step of"),
    "bfloat16 session": ("Streaming session, bfloat16 weights compared with our float32", "µs of a step of"),
    "int8 session": ("Streaming session, int8 weights compared with our bfloat16", "µs of a step of"),
    "call": ("One call of the layer", "µs of"),
    "step": ("One step of the layer", "µs of"),
}

Row = dict[str, Any]


def evaluate(result: dict[str, Any]) -> dict[str, Any]:
    """Adds ratios, shares of the hardware limit, the summary and targets to the result of `run`."""
    rows = [_compare(row, result["roof"]) for row in result["cases"]]
    _pair_sessions(rows)
    return {**result, "cases": rows, "summary": summarise(rows), "targets": targets(rows)}


def case_of(row: Row) -> Case:
    """The case of a row."""
    return Case(*(row[name] for name in ("mode", "cell", "batch", "steps", "hidden")))


def _compare(row: Row, measured: dict[str, Any]) -> Row:
    case, seconds = case_of(row), row["seconds"]
    if OURS not in seconds:
        return row
    share = hardware_limit.share(case, measured, seconds[OURS], row["rounds"][OURS], row["peaks_gflops"])
    name = hardware_limit.name_of_peak(case)
    best_peak = max(row["peaks_gflops"], default=measured[name])
    quickest = hardware_limit.seconds(case, measured | {name: best_peak}) / min(row["rounds"][OURS])
    row = {**row, "roof": share, "roof_of_quickest": quickest}
    contenders = [name for name in AGAINST.get(case.mode, ()) if name in seconds]
    if contenders:
        best = min(contenders, key=seconds.__getitem__)
        row |= {"against": best, "ratio": seconds[best] / seconds[OURS]}
    return row


def _pair_sessions(rows: list[Row]) -> None:
    """Adds the ratios of sessions with bfloat16 weights to float32, and of those with int8 weights to bfloat16."""
    found = {case_of(row): row for row in rows}
    for case, row in found.items():
        against = {"bfloat16 session": "float32 session", "int8 session": "bfloat16 session"}.get(case.mode)
        twin = against and found.get(Case(against, case.cell, case.batch, case.steps, case.hidden))
        if twin and OURS in row["seconds"] and OURS in twin["seconds"]:
            row |= {"against": against, "ratio": twin["seconds"][OURS] / row["seconds"][OURS]}


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of ratios: 2 and ½ cancel.

    Example:
        >>> geometric_mean([2.0, 0.5])
        1.0
    """
    return math.exp(statistics.fmean(map(math.log, values)))


def summarise(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Computes for each mode the geometric mean of the ratios by cell and over all cells, and the smallest ratio."""
    found: dict[str, dict[str, Any]] = {}
    for mode in ("training", "bfloat16 training", "inference", "bfloat16 session", "int8 session"):
        some = [row for row in rows if row["mode"] == mode and "ratio" in row]
        if not some:
            continue
        cells = {cell: [row["ratio"] for row in some if row["cell"] == cell] for cell in GATES}
        least = min(some, key=lambda row: row["ratio"])
        found[mode] = {
            **{cell: geometric_mean(ratios) for cell, ratios in cells.items() if ratios},
            "all": geometric_mean(row["ratio"] for row in some),
            "smallest": least["ratio"],
            "smallest_case": f"{least['cell']} {case_of(least).shape}",
            "by_peer": _by_peer(some),
        }
    return found


def _by_peer(rows: Sequence[Row]) -> dict[str, float]:
    peers = dict.fromkeys(name for row in rows for name in row["seconds"] if name != OURS)
    found = {p: [row["seconds"][p] / row["seconds"][OURS] for row in rows if p in row["seconds"]] for p in peers}
    return {peer: geometric_mean(ratios) for peer, ratios in found.items()}


@dataclass(frozen=True)
class Target:
    """A performance target of the project.

    Attributes:
        name: description.
        value: measured value; None if not measured.
        needed: required value.
        least: True if the required value is a minimum, False if it is a maximum.
        quickest: value of the fastest round, for comparison: other programs on the host can make the median much
            slower. Only the median decides.
    """

    name: str
    value: float | None
    needed: float
    least: bool = True
    quickest: float | None = None

    @property
    def passed(self) -> bool | None:
        """True if the target is met; None if nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.needed if self.least else self.value <= self.needed


def targets(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns all targets and their results."""
    found = summarise(rows)

    def of(mode: str, what: str) -> float | None:
        return found.get(mode, {}).get(what)

    checked = [
        Target("training, geometric mean", of("training", "all"), 3.0),
        Target("training, LSTM alone", of("training", "LSTM"), 1.8),
        Target("training, smallest ratio", of("training", "smallest"), 1.0),
        Target("inference, geometric mean", of("inference", "all"), 1.3),
        Target("inference, smallest ratio", of("inference", "smallest"), 0.95),
        Target("bfloat16 weights, geometric mean", of("bfloat16 session", "all"), 1.5),
        Target("int8 weights against bfloat16, smallest ratio", of("int8 session", "smallest"), 1.6),
        *(
            Target(
                f"share of the hardware limit, {mode}, B32 H≥256, smallest",
                _least_share(rows, mode, "roof"),
                needed,
                quickest=_least_share(rows, mode, "roof_of_quickest"),
            )
            for mode, needed in (("inference", 0.85), ("training", 0.75))
        ),
        *(
            Target(
                name, _microseconds(rows, mode), needed, least=False, quickest=_microseconds(rows, mode, quickest=True)
            )
            for name, mode, needed in (
                ("nn.LSTM(64, 64)(x), µs", "call", 10),
                ("step of nn.LSTM(64, 64), µs", "step", 4),
            )
        ),
    ]
    return [
        {
            "target": t.name,
            "value": t.value,
            "quickest": t.quickest,
            "needed": t.needed,
            "at_least": t.least,
            "passed": t.passed,
        }
        for t in checked
    ]


def _least_share(rows: Sequence[Row], mode: str, share: str) -> float | None:
    some = [r[share] for r in rows if r["mode"] == mode and r["batch"] == 32 and r["hidden"] >= 256 and share in r]
    return min(some, default=None)


def _microseconds(rows: Sequence[Row], mode: str, *, quickest: bool = False) -> float | None:
    some = (row for row in rows if row["mode"] == mode and OURS in row["seconds"])
    return next((1e6 * (min(row["rounds"][OURS]) if quickest else row["seconds"][OURS]) for row in some), None)


@dataclass(frozen=True)
class Table:
    """A table for the terminal or Markdown."""

    title: str
    columns: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Returns the table in Markdown, with numbers aligned to the right."""
        marks = ["---", *["---:"] * (len(self.columns) - 1)]
        body = [f"| {' | '.join(cells)} |" for cells in (self.columns, marks, *self.rows)]
        return "\n".join([f"### {self.title}", "", *body])


def warnings(result: dict[str, Any]) -> list[str]:
    """Returns warnings about the validity of the measurements."""
    busy = result["cores_used_by_others"]
    if busy is None or busy <= MOST_BUSY:
        return []
    return [f"other programs used {busy:.1f} cores: these measurements are not valid; measure again on an idle machine"]


def tables(result: dict[str, Any]) -> list[Table]:
    """Returns the tables of an evaluated result."""
    found = []
    for mode in TITLES:
        rows = [row for row in result["cases"] if row["mode"] == mode and row["seconds"]]
        if rows:
            found.append(_case_table(mode, rows, result["peers"]))
    if result["summary"]:
        found.append(_summary_table(result["summary"]))
    reasons = dict.fromkeys((row["mode"], row["refused"][OURS]) for row in result["cases"] if OURS in row["refused"])
    if reasons:
        found.append(Table("Not measured", ["", "reason"], [list(reason) for reason in reasons]))
    shown = [
        [t["target"], _number(t["value"]), _number(t["quickest"]), _bound(t), _word(t["passed"])]
        for t in result["targets"]
    ]
    found.append(Table("Targets", ["target", "measured", "fastest round", "required", ""], shown))
    return found


def _case_table(mode: str, rows: Sequence[Row], peers: Sequence[str]) -> Table:
    peers = [peer for peer in peers if any(peer in row["seconds"] for row in rows)]
    with_ratio = any("ratio" in row for row in rows)
    columns = [TITLES[mode][1], *peers, *(["ratio"] if with_ratio else []), "share of limit"]
    body = []
    for row in rows:
        times = [_time(row["seconds"].get(peer)) for peer in peers]
        ratio = [f"{row['ratio']:.2f}" if "ratio" in row else "–"] if with_ratio else []
        share = f"{row['roof']:.0%}" if "roof" in row else "–"
        body.append([f"{row['cell']} {case_of(row).shape}", *times, *ratio, share])
    return Table(TITLES[mode][0], columns, body)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{1e6 * seconds:,.1f}" if seconds < 1e-3 else f"{1e6 * seconds:,.0f}"


def _summary_table(summary: dict[str, dict[str, Any]]) -> Table:
    peers = dict.fromkeys(peer for found in summary.values() for peer in found["by_peer"])
    rows = [[f"geometric mean, {name}", *(_number(s.get(name)) for s in summary.values())] for name in (*GATES, "all")]
    rows.append(["smallest", *(_number(s["smallest"]) for s in summary.values())])
    rows.append(["smallest in", *(s["smallest_case"] for s in summary.values())])
    rows += [[f"geometric mean, {p} only", *(_number(s["by_peer"].get(p)) for s in summary.values())] for p in peers]
    return Table("Summary of the ratios", ["", *summary], rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _bound(target: dict[str, Any]) -> str:
    return f"{'≥' if target['at_least'] else '≤'} {target['needed']:g}"


def _word(passed: bool | None) -> str:
    return {True: "met", False: "missed", None: ""}[passed]
