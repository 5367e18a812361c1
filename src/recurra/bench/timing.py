"""Measures the duration of a call."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from time import perf_counter_ns

GROUP_SECONDS = 1e-3  # long enough to make the cost and resolution of the clock negligible
FEWEST_GROUPS = 5


def seconds_per_call(
    call: Callable[[], object],
    budget: float,
    group: int | None = None,
    choose: Callable[[list[float]], float] = statistics.median,
) -> float:
    """Measures the seconds of a call, after a warm-up: by default the median over groups of calls.

    Args:
        call: the timed function.
        budget: seconds of timing; more if `FEWEST_GROUPS` groups need more.
        group: number of calls between two readings of the clock; None for as many as take a millisecond.
        choose: reduces the times of the groups to one.
    """
    single = _warm_up(call, budget / 4)
    group = group or max(1, round(GROUP_SECONDS / single))
    collecting = gc.isenabled()
    gc.disable()  # as timeit does
    try:
        found: list[float] = []
        end = perf_counter_ns() + int(budget * 1e9)
        while len(found) < FEWEST_GROUPS or perf_counter_ns() < end:
            start = perf_counter_ns()
            for _ in range(group):
                call()
            found.append((perf_counter_ns() - start) / group)
    finally:
        if collecting:
            gc.enable()
    return choose(found) / 1e9


def _warm_up(call: Callable[[], object], budget: float) -> float:
    """Calls at least twice, since the first call may compile or pack weights. Returns the seconds of the fastest."""
    end = perf_counter_ns() + int(budget * 1e9)
    call()
    quickest = float("inf")
    while True:
        start = perf_counter_ns()
        call()
        quickest = min(quickest, perf_counter_ns() - start)
        if perf_counter_ns() >= end:
            return max(quickest, 1.0) / 1e9
