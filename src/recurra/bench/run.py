"""Benchmark run: hardware limit, correctness gate, and rounds in which the peers are timed in alternating order."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recurra.errors import UsageError

from . import gate, hardware_limit, processes
from .cases import Case, grid
from .machine import Others, machine, versions
from .peers import PEERS, missing

OURS = "recurra"
USUAL = ("torch", "onnxruntime")
ROUNDS, QUICK_ROUNDS = 5, 1
SECONDS, QUICK_SECONDS = 0.3, 0.1
SLICE = 30
WORDS = {"gate": "checking", "time": "timing"}

Times = dict[str, dict[Case, list[float]]]
"""Seconds of each round, by peer and case."""

Peaks = dict[Case, list[float]]
"""Peak in GF/s at the time of each of our rounds, by case."""

Tell = Callable[[str, int, int], None]
"""Progress callback: the current action, the number of finished steps, and the number of all steps."""


@dataclass(frozen=True)
class Plan:
    """Options of a run.

    Attributes:
        peers: names of the other libraries, see `PEERS`.
        cases: the timed cases.
        rounds: how often each case is timed; results use the median.
        threads: threads of each process.
        seconds: seconds for each case in each round.
    """

    peers: Sequence[str] = USUAL
    cases: Sequence[Case] = field(default_factory=grid)
    rounds: int = ROUNDS
    threads: int = 2
    seconds: float = SECONDS

    @property
    def names(self) -> list[str]:
        """Recurra first, then the others."""
        return [OURS, *self.peers]

    @property
    def slices(self) -> list[list[Case]]:
        """Groups of cases that one process times. They are small, so that all peers run in the same machine state."""
        found: dict[tuple[str, str], list[Case]] = {}
        for case in self.cases:
            found.setdefault((case.mode, case.cell), []).append(case)
        small: list[list[Case]] = []
        for part in found.values():
            if small and len(small[-1]) + len(part) <= SLICE:
                small[-1] += part
            else:
                small.append(list(part))
        return small


def choose_peers(given: str | None) -> list[str]:
    """Returns the peers that `--peers` names.

    Args:
        given: names separated by commas; `"all"` for all installed peers; None for the installed ones among `USUAL`.

    Raises:
        UsageError: a name is unknown, or its package is not installed.
    """
    others = [name for name in PEERS if name != OURS]
    if given is None or given == "all":
        return [name for name in (USUAL if given is None else others) if not missing(name)]
    chosen = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if not chosen:
        raise UsageError(f"name at least one peer: {', '.join(others)}, or all")
    for name in chosen:
        if name not in others:
            raise UsageError(f"there is no peer {name!r}; choose from {', '.join(others)}, or all")
        if missing(name):
            raise UsageError(f"{name} is not installed\ninstall it with: pip install {' '.join(missing(name))}")
    return chosen


def run(plan: Plan, tell: Tell = lambda what, done, total: None) -> dict[str, Any]:
    """Checks and times all cases. Returns plain JSON data, to which `report.evaluate` adds ratios and targets.

    Args:
        plan: options of the run.
        tell: called after each step.

    Raises:
        GateError: the results of a peer differ from ours. Nothing was timed.
        WorkerError: a process failed.
    """
    progress = _Progress(tell, len(plan.names) * len(plan.cases) * (plan.rounds + 1))
    refusals, agreement = _gate(plan, progress)
    others = Others()
    times, peaks, measured = _time(plan, refusals, progress)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | measured.pop("facts"),
        "versions": versions(plan.names),
        "threads": plan.threads,
        "rounds": plan.rounds,
        "peers": plan.names,
        "cores_used_by_others": others.cores(),
        "roof": measured,
        "greatest_difference": agreement,
        "cases": [_row(case, times, peaks.get(case, []), refusals) for case in plan.cases],
    }


def _gate(plan: Plan, progress: _Progress) -> tuple[dict[str, dict[Case, str]], float]:
    """Compares the results of all peers with ours. Returns the refused cases by peer, and the largest difference."""
    import numpy as np

    refusals: dict[str, dict[Case, str]] = {}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name in plan.names:
            found = _worker(plan, {"do": "gate", "folder": folder}, name, plan.cases, progress)
            refusals[name] = {c: f["refused"] for c, f in zip(plan.cases, found, strict=True) if "refused" in f}
            refusals[name] = refusals[OURS] | refusals[name]  # peers skip the cases that we refuse
        for i, case in enumerate(plan.cases):
            files = {n: Path(folder) / f"{n}-{i}.npz" for n in plan.names if case not in refusals[n]}
            probes = {name: dict(np.load(file)) for name, file in files.items()}
            for name in probes.keys() - {OURS} if OURS in probes else ():
                difference = gate.compare(case, name, probes[OURS], probes[name])
                worst = max(worst, 0.0 if case.weight_bytes < 4 else difference)
    return refusals, worst


def _time(plan: Plan, refusals: dict[str, dict[Case, str]], progress: _Progress) -> tuple[Times, Peaks, dict[str, Any]]:
    """Times every case of every peer in every round. Returns the times, the peaks of our rounds, and the limit."""
    slices, sizes = plan.slices, sorted({case.working_set for case in plan.cases})
    times: Times = {name: {} for name in plan.names}
    limits: list[dict[str, Any]] = []
    peaks: Peaks = {}
    for i in range(plan.rounds):
        progress.say("measuring the hardware limit")
        limits += _worker(plan, {"do": "hardware limit", "sizes": sizes, "seconds": plan.seconds})
        for part in slices:
            for name in plan.names[:: 1 if i % 2 == 0 else -1]:  # alternate the order
                served = [case for case in part if case not in refusals[name]]
                order = {"do": "time", "seconds": plan.seconds, "with_peak": name == OURS}
                found = _worker(plan, order, name, served, progress) if served else []
                for case, answer in zip(served, found, strict=True):
                    times[name].setdefault(case, []).append(answer["seconds"])
                    if "peak_gflops" in answer:
                        peaks.setdefault(case, []).append(answer["peak_gflops"])
                progress.skip(len(part) - len(served))
    return times, peaks, hardware_limit.best(limits)


def _worker(
    plan: Plan,
    order: dict[str, Any],
    peer: str | None = None,
    cases: Sequence[Case] = (),
    progress: _Progress | None = None,
) -> list[dict[str, Any]]:
    """Sends an order to a new process and collects its results."""
    order = order | {"peer": peer, "cases": [case.as_dict() for case in cases]}
    found = []
    for answer in processes.worker(order, plan.threads):
        found.append(answer)
        if progress is not None:
            progress.skip(1)
            progress.say(f"{WORDS[order['do']]} {peer}: {cases[len(found) - 1]}")
    return found


def _row(case: Case, times: Times, peaks: list[float], refusals: dict[str, dict[Case, str]]) -> dict[str, Any]:
    rounds = {name: found[case] for name, found in times.items() if case in found}
    return {
        **case.as_dict(),
        "seconds": {name: statistics.median(found) for name, found in rounds.items()},
        "rounds": rounds,
        "peaks_gflops": peaks,
        "refused": {name: found[case] for name, found in refusals.items() if case in found},
    }


class _Progress:
    """Counts the steps of a run."""

    def __init__(self, tell: Tell, total: int) -> None:
        self.tell, self.total, self.done = tell, total, 0

    def skip(self, steps: int) -> None:
        """Counts finished steps."""
        self.done += steps

    def say(self, what: str) -> None:
        """Reports the progress."""
        self.tell(what, self.done, self.total)
