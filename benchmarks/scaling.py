"""How the layers use more threads.

Usage: python benchmarks/scaling.py [--single] [--rounds 20] [--seconds 0.5] [--most 16]

Without `--single`: LSTM and GRU in training and inference, with 1, 2, 4 … threads up to the number of cores. The last
columns are predictions for more threads than there are cores. They come from the model in `Model`, which is fitted to
the times of one thread and checked against all measured times. With `--single`: one sequence with one and two threads.
The numbers of threads take turns in one process, and medians count.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch

from recurra import nn
from recurra.bench.cases import Case, numbers
from recurra.bench.machine import Others
from recurra.bench.timing import seconds_per_call
from recurra.ops.native import bindings

PREDICTED = (4, 8, 16, 32)
HIDDEN, BATCHES, STEPS = (64, 256, 512), (1, 32, 128), 100
SINGLE_HIDDEN = (16, 32, 64, 128, 256, 512, 1024)
NEEDED = 1.05
GROUP = 1e-3
"""Seconds of the calls between two readings of the clock."""


def prepare(case: Case) -> Callable[[], object]:
    """Returns the call that is timed."""
    data = numbers(case)
    layer, x = getattr(nn, case.cell)(case.hidden, case.hidden), torch.from_numpy(data.x)
    if case.trains:
        x.requires_grad_()
        gradient = torch.from_numpy(data.grad)
        return lambda: layer(x)[0].backward(gradient)

    def infer() -> object:
        with torch.no_grad():
            return layer(x)

    return infer


def times(call: Callable[[], object], threads: Sequence[int], rounds: int, seconds: float) -> dict[int, float]:
    """Median seconds of a call by number of threads, which take turns."""
    found: dict[int, list[float]] = {count: [] for count in threads}
    for i in range(rounds):
        for count in threads if i % 2 == 0 else reversed(threads):
            torch.set_num_threads(count)
            call()
            start = perf_counter()
            call()
            group = max(1, round(GROUP / max(perf_counter() - start, 1e-7)))
            end = perf_counter() + seconds / rounds
            while not found[count] or perf_counter() < end:
                start = perf_counter()
                for _ in range(group):
                    call()
                found[count].append((perf_counter() - start) / group)
    return {count: statistics.median(group) for count, group in found.items()}


def peak(threads: int) -> float:
    """Operations per second of torch's product of 1024³."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 1024, 1024)
    with torch.no_grad():
        return 2 * 1024**3 / seconds_per_call(lambda: a @ b, 0.3, choose=min)


@dataclass(frozen=True)
class Load:
    """What the busiest thread does in a call: operations, bytes of weights, starts and meetings of all threads."""

    operations: float
    bytes: float
    numbers: float
    starts: float
    meetings: float

    @classmethod
    def of(cls, case: Case, threads: int, costs: tuple[float, float, int]) -> Load:
        """The load of a case on some threads.

        A batch is divided by rows, and six rows read the weights once. A single sequence is divided by units. The
        number of threads is that of `threads_for` in csrc/engine/pool.cpp.
        """
        start, meeting, _ = costs
        passes, alone = (3 if case.trains else 1), case.batch == 1
        # nanoseconds; see kMicrosecond and kRowMicrosecond in csrc/engine/simd.h
        work = case.flops / passes / 2 / 65.536 * (1.5 if alone else 1)
        threads = max(1, min(threads, int(work / 2 / (start + ((case.steps if alone else 0) + 1) * meeting))))
        rows = math.ceil(case.batch / threads)
        share = 1 / threads if alone else rows / case.batch
        meetings = float(case.steps * (2 if case.trains else 1)) * (alone and threads > 1)
        reads = case.steps * case.matrix_bytes * (2 if case.trains else 1)
        weights = reads * (share if alone else math.ceil(rows / 6))
        chunk = min(4096.0, max(512.0, math.sqrt(2 * case.matrix_bytes / 2)))  # tokens; `stretch` in backward.h
        chunks = math.ceil(case.batch * case.steps / chunk)
        starts = 1.0 + case.trains * (1 if threads <= 2 and not alone else 3 * chunks)
        values = case.batch * case.steps * case.hidden * share * passes
        return cls(case.flops * share, weights, values, starts if threads > 1 else 0.0, meetings)


@dataclass
class Model:
    """Predicts times: so much for an operation, a byte of weights and a value, and the measured costs of threads.

    The first three follow from the times of one thread by least squares of the relative errors, for each mode and cell.
    """

    costs: tuple[float, float, int]
    rates: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def fit(self, measured: dict[Case, dict[int, float]]) -> None:
        """Finds the rates."""
        for key in {(case.mode, case.cell) for case in measured}:
            rows = [(case, found[1]) for case, found in measured.items() if (case.mode, case.cell) == key]
            matrix = np.array([self._features(Load.of(case, 1, self.costs)) for case, _ in rows])
            self.rates[key] = non_negative(matrix / np.array([[seconds] for _, seconds in rows]), np.ones(len(rows)))

    def predict(self, case: Case, threads: int) -> float:
        """Seconds of a call."""
        load = Load.of(case, threads, self.costs)
        start, meeting, _ = self.costs
        waiting = 1e-9 * math.log2(threads) * (load.starts * (start + meeting) + load.meetings * meeting)
        return float(self._features(load) @ self.rates[case.mode, case.cell]) + waiting

    @staticmethod
    def _features(load: Load) -> np.ndarray:
        return np.array([load.operations, load.bytes, load.numbers])


def non_negative(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares without negative results: columns with negative results are left out.

    Example:
        >>> non_negative(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([2.0, -1.0]))
        array([2., 0.])
    """
    found, kept = np.zeros(matrix.shape[1]), list(range(matrix.shape[1]))
    while kept:
        values = np.linalg.lstsq(matrix[:, kept], target, rcond=None)[0]
        if (values >= 0).all():
            found[kept] = values
            break
        kept.pop(int(values.argmin()))
    return found


def scaling(rounds: int, seconds: float, most: int, scale: float) -> None:
    """Prints times, efficiency, share of the peak and predictions of all cases."""
    threads = [count for count in (1, 2, 4, 8, 16, 32, 64) if count <= most]
    more = [count for count in PREDICTED if count > most]
    peaks = {count: peak(count) for count in threads}
    hidden = [max(8, round(size * scale)) for size in HIDDEN]
    cases = [
        Case(mode, cell, batch, max(2, round(STEPS * scale)), size)
        for mode in ("training", "inference")
        for cell in ("LSTM", "GRU")
        for size in hidden
        for batch in BATCHES
    ]
    measured = {case: times(prepare(case), threads, rounds, seconds) for case in cases}
    costs = bindings.engine.thread_costs()
    model = Model(costs)
    model.fit(measured)
    print(f"product of 1024³: {', '.join(f'{count} threads {peaks[count] / 1e9:,.0f} GF/s' for count in threads)}")
    print(f"start of a thread {costs[0]:,.0f} ns, meeting {costs[1]:,.0f} ns, {costs[2]} cores\n")
    heads = [f"{count}: ms | efficiency | of the peak" for count in threads] + [f"{count}: model, ms" for count in more]
    print(f"| | {' | '.join(heads)} |\n|---|{'---:|' * (3 * len(threads) + len(more))}")
    errors: dict[int, list[float]] = {count: [] for count in threads}
    for case, found in measured.items():
        cells = []
        for count, spent in found.items():
            share = case.flops / spent / peaks[count]
            cells += [f"{1e3 * spent:.4f}", f"{found[1] / spent / count:.2f}", f"{share:.2f}"]
            errors[count].append(abs(model.predict(case, count) / spent - 1))
        cells += [f"{1e3 * model.predict(case, count):.4f}" for count in more]
        print(f"| {case} | {' | '.join(cells)} |", flush=True)
    print("\nerror of the model:")
    for count, each in errors.items():
        print(f"{count} threads: median {statistics.median(each):.0%}, largest {max(each):.0%}")


def single(rounds: int, seconds: float, scale: float) -> None:
    """Prints the times of one sequence with one and two threads."""
    print(f"| B1 T100, inference | 1 thread, µs | 2 threads, µs | 2 / 1 | needed |\n|---|{'---:|' * 4}")
    for cell in ("RNN", "LSTM", "GRU"):
        for hidden in SINGLE_HIDDEN:
            case = Case("inference", cell, 1, max(2, round(STEPS * scale)), max(8, round(hidden * scale)))
            one, two = times(prepare(case), (1, 2), rounds, seconds).values()
            name = f"{cell} H{case.hidden}"
            print(f"| {name} | {1e6 * one:.1f} | {1e6 * two:.1f} | {two / one:.2f} | ≤ {NEEDED} |", flush=True)
    start, meeting, cores = bindings.engine.thread_costs()
    print(f"\nstart of a thread {start:,.0f} ns, meeting {meeting:,.0f} ns, {cores} cores")


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--single", action="store_true", help="one sequence with one and two threads")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.5, help="of timing each number of threads, in all rounds")
    parser.add_argument("--most", type=int, default=os.cpu_count() or 1, help="most threads to measure")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, to try the script out")
    args = parser.parse_args()
    others = Others()
    if args.single:
        single(args.rounds, args.seconds, args.scale)
    else:
        scaling(args.rounds, args.seconds, args.most, args.scale)
    print(f"other programs used {others.cores() or 0:.2f} cores meanwhile")


if __name__ == "__main__":
    main()
