"""Single steps beside ONNX Runtime, and sessions with rounded weights beside larger ones.

Usage: python benchmarks/small_calls.py [--rounds 5] [--threads 2] [--seconds 0.3]

Prints the medians and their ratios: a step of `layer.step`, which feeds its state back, against ONNX Runtime (at least
1); calls with few tokens against ONNX Runtime; sessions with bfloat16 weights against float32; sessions with int8
weights against bfloat16 (at least 1.6). Then the microseconds of calls with one step, of one step of a cell, and of
lengths in a tensor and in a list. The status is 1 if a ratio is too small.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from recurra import nn
from recurra.bench.cases import GATES, Case
from recurra.bench.report import OURS, case_of, evaluate
from recurra.bench.run import Plan, run

NEEDED = {"inference": 1.0, "int8 session": 1.6}
FEW = ((4, 1), (12, 1), (2, 2), (4, 2), (2, 5))
"""Sequences and steps of calls with few tokens."""
MODES = ("inference", "float32 session", "bfloat16 session", "int8 session")


def fastest(call: Callable[[], Any], seconds: float) -> float:
    """Returns the microseconds of a call: the least of ten rounds."""
    call()
    found = []
    for _ in range(10):
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 10:
            call()
            count += 1
        found.append((time.perf_counter() - start) / count * 1e6)
    return min(found)


def calls(units: int) -> dict[str, Callable[[], Any]]:
    """The small calls of an LSTM with so many units."""
    layer, cell, x = nn.LSTM(units, units), nn.LSTMCell(units, units), torch.randn(1, 1, units)
    state = layer.step(x[0])[1]
    alone = tuple(part[0] for part in state)
    pair, lengths = torch.randn(3, 2, units), torch.tensor([3, 2])
    return {
        "layer(x_t, state)": lambda: layer(x, state),
        "layer.step(x_t, state)": lambda: layer.step(x[0], state),
        "cell(x_t, state)": lambda: cell(x[0], alone),
        "layer(x, lengths=tensor)": lambda: layer(pair, lengths=lengths),
        "layer(x, lengths=list)": lambda: layer(pair, lengths=[3, 2]),
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--units", type=int, nargs="+", default=[256, 384, 512])
    options = parser.parse_args()
    cases = [Case(mode, cell, 1, 1, units) for mode in MODES for cell in GATES for units in options.units]
    cases += [Case("inference", cell, *few, units) for cell in GATES for units in options.units for few in FEW]
    result = evaluate(run(Plan(["onnxruntime"], cases, options.rounds, options.threads, options.seconds)))
    short = False
    print("| case | ours, µs | against | ratio |\n|---|---:|---|---:|")
    for row in result["cases"]:
        if "ratio" in row:
            case = case_of(row)
            short |= row["ratio"] < NEEDED.get(case.mode, 0) and case.batch == case.steps == 1
            print(f"| {case} | {row['seconds'][OURS] * 1e6:.1f} | {row['against']} | {row['ratio']:.2f} |")
    torch.set_num_threads(options.threads)
    sizes = [8, *options.units]
    print(f"\n| µs | {' | '.join(f'LSTM {units}' for units in sizes)} |\n|---|{'---:|' * len(sizes)}")
    with torch.no_grad():
        columns = [calls(units) for units in sizes]
        for name in columns[0]:
            times = [f"{fastest(column[name], options.seconds):.1f}" for column in columns]
            print(f"| {name} | {' | '.join(times)} |")
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
