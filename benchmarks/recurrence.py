"""Our engines against torch's own layers: forward, and forward with backward, of one layer.

Usage: python benchmarks/recurrence.py [--rounds 3] [--quick]

Each contender runs in a process of its own, because thread pools that share a process disturb each other; the processes
take turns, and the median of the rounds counts. Before anything is timed, outputs and gradients must agree. The input
size is the hidden size; `GF/s` counts the matrix products only.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time

import torch

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SHAPES = [(1, t, h) for t in (1, 100) for h in (64, 256, 512)] + [(32, 100, h) for h in (64, 128, 256, 512)]
SHAPES += [(128, 50, 128), (32, 50, 1024)]
CASES = [(mode, kind, *shape) for mode in ("train", "infer") for kind in GATES for shape in SHAPES]


def layer(contender: str, kind: str, hidden: int) -> torch.nn.Module:
    """The same weights for every contender."""
    from recurra import nn

    torch.manual_seed(0)
    if contender == "torch":
        return getattr(torch.nn, kind)(hidden, hidden)
    return getattr(nn, kind)(hidden, hidden, engine=contender)


def step(module: torch.nn.Module, x: torch.Tensor, grad: torch.Tensor, mode: str) -> float:
    """Seconds of one call; training takes the gradients of the input and of all weights."""
    start = time.perf_counter()
    if mode == "train":
        x = x.detach().requires_grad_()
        module(x)[0].backward(grad)
    else:
        with torch.no_grad():
            module(x)
    taken = time.perf_counter() - start
    module.zero_grad()
    return taken


def flops(mode: str, kind: str, batch: int, steps: int, hidden: int) -> float:
    """Operations of the matrix products."""
    return 4.0 * batch * steps * GATES[kind] * hidden**2 * (3 if mode == "train" else 1)


def run(contender: str, cases: list) -> list[float]:
    """Median seconds of each case, in this process."""
    found = []
    for mode, kind, batch, steps, hidden in cases:
        module = layer(contender, kind, hidden)
        x, grad = torch.randn(steps, batch, hidden), torch.randn(steps, batch, hidden)
        for _ in range(3):
            step(module, x, grad, mode)
        repeats = max(5, min(300, int(3e9 / (flops(mode, kind, batch, steps, hidden) + 2e7))))
        found.append(statistics.median(step(module, x, grad, mode) for _ in range(repeats)))
    return found


def gate() -> None:
    """Refuses to time what is not right."""
    for kind in GATES:
        results = []
        for contender in ("torch", "native"):
            module, x = layer(contender, kind, 70), torch.linspace(-1, 1, 9 * 5 * 70).reshape(9, 5, 70).requires_grad_()
            output = module(x)[0]
            results.append([output, *torch.autograd.grad(output.square().sum(), [x, *module.parameters()])])
        torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="leave out the large shapes")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    args = parser.parse_args()
    cases = [c for c in CASES if not args.quick or flops(*c) < 2e10]
    if args.contender:
        print(json.dumps(run(args.contender, cases)))
        return
    gate()
    times: dict[str, list[list[float]]] = {"native": [], "torch": []}
    for _ in range(args.rounds):
        for contender, found in times.items():
            command = [sys.executable, __file__, "--contender", contender, *(["--quick"] if args.quick else [])]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}\n")
    print("| | cell | batch | steps | hidden | native µs | torch µs | ratio | native GF/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    ratios: dict[tuple[str, str], list[float]] = {}
    for i, case in enumerate(cases):
        ours, theirs = (statistics.median(r[i] for r in times[name]) for name in ("native", "torch"))
        ratios.setdefault(case[:2], []).append(theirs / ours)
        figures = f"{ours * 1e6:,.0f} | {theirs * 1e6:,.0f} | {theirs / ours:.2f} | {flops(*case) / ours / 1e9:.0f}"
        print(f"| {' | '.join(map(str, case))} | {figures} |")
    print("\n| geometric mean of the ratios | LSTM | GRU | RNN | all |\n|---|---|---|---|---|")
    for mode in ("train", "infer"):
        rows = [ratios[mode, kind] for kind in GATES]
        means = [math.exp(statistics.fmean(map(math.log, r))) for r in [*rows, [x for r in rows for x in r]]]
        print(f"| {mode} | {' | '.join(f'{m:.2f}' for m in means)} |")


if __name__ == "__main__":
    main()
