"""Hardware limit (roofline model): the measured peak of multiply-adds, and the bandwidth of reading weights."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from .cases import Case
from .timing import seconds_per_call


def measure(threads: int, sizes: Iterable[int], budget: float = 0.3) -> dict[str, Any]:
    """Measures the peak in GF/s and the bandwidth in GB/s by working set.

    Args:
        threads: number of threads.
        sizes: working sets in bytes; the bandwidth depends on the cache they fit in.
        budget: seconds of each measurement. It is used only if torch replaces the engine.
    """
    from recurra.ops.native import bindings

    own_bandwidth = getattr(bindings.engine, "measure_bandwidth", None)
    bandwidth = {
        str(size): own_bandwidth(threads, size) if own_bandwidth else _sum_bandwidth(threads, size, budget / 3)
        for size in sorted(set(sizes))
    }
    return {
        "peak_gflops": peak(threads, budget),
        "bfloat16_gflops": peak(threads, budget, halves=True),
        "peak_by": "a loop of multiply-adds" if bindings.engine else "torch's product of 1024³, an estimate from below",
        "bandwidth_gbytes": bandwidth,
        "bandwidth_by": "a loop of reads"
        if own_bandwidth
        else "torch's sum on one thread, times the threads: an estimate from below",
    }


def peak(threads: int, budget: float = 0.3, *, halves: bool = False) -> float:
    """Measures the current peak of multiply-adds in GF/s.

    Args:
        threads: number of threads.
        budget: as in `measure`.
        halves: whether to measure the products of bfloat16 that our engine uses in training.
    """
    from recurra.ops.native import bindings

    own = getattr(bindings.engine, "measure_peak", None)
    return own(threads, bf16=halves) if own else _matmul_peak(threads, budget)


def name_of_peak(case: Case) -> str:
    """Returns the entry of the result of `measure` that limits a case."""
    return "bfloat16_gflops" if case.trains and case.halves else "peak_gflops"


def best(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Combines several measurements: the highest peak, and the highest bandwidth of each working set."""
    sizes = found[0]["bandwidth_gbytes"]
    return {
        **found[0],
        **{name: max(f[name] for f in found) for name in ("peak_gflops", "bfloat16_gflops")},
        "bandwidth_gbytes": {size: max(f["bandwidth_gbytes"][size] for f in found) for size in sizes},
    }


def share(case: Case, limit: dict[str, Any], median: float, rounds: Sequence[float], peaks: Sequence[float]) -> float:
    """Share of the hardware limit that was reached: the shortest possible time divided by the measured one.

    Args:
        case: the timed case.
        limit: result of `best`.
        median: median of our seconds.
        rounds: our seconds in each round.
        peaks: the peak in GF/s at the time of each round; the result is the median of the shares of the rounds. Empty
            if it was not measured.
    """
    if not peaks:
        return seconds(case, limit) / median
    pairs = zip(peaks, rounds, strict=True)
    return statistics.median(seconds(case, limit | {name_of_peak(case): peak}) / time for peak, time in pairs)


def seconds(case: Case, limit: dict[str, Any]) -> float:
    """The shortest possible time on this machine: the larger of the times for arithmetic and for reading weights.

    Arithmetic limits a batch. Reading the recurrent weights at every step limits a single sequence.
    """
    arithmetic = case.flops / (limit[name_of_peak(case)] * 1e9)
    reading = case.read_bytes / (limit["bandwidth_gbytes"][str(case.working_set)] * 1e9)
    return max(arithmetic, reading)


def _matmul_peak(threads: int, budget: float) -> float:
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(2, 1024, 1024)
    with torch.no_grad():
        return 2 * 1024**3 / seconds_per_call(lambda: a @ b, budget, choose=min) / 1e9


def _sum_bandwidth(threads: int, size: int, budget: float) -> float:
    import torch

    torch.set_num_threads(1)  # one part per thread; synchronizing after each sum would cost more than reading
    values = torch.ones(max(size // 4 // threads, 1))
    return threads * 4 * values.numel() / seconds_per_call(values.sum, budget, choose=min) / 1e9
