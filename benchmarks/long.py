"""What very long sequences cost in memory.

Usage: python benchmarks/long.py [--threads 2]

An LSTM-128 reads one sequence: a million steps in inference, a hundred thousand in training. Each run has a fresh
process; what counts is by how much its greatest resident memory grows during the call, the output taken off, which the
caller asked for. The peak of the whole process (Python, torch, input, output) stands beside.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys

from recurra.bench import processes

RUNS = (
    ("inference", "recurra", 1_000_000),
    ("inference", "torch", 1_000_000),
    ("training, recompute", "recurra", 100_000),
    ("training", "recurra", 100_000),
    ("training", "torch", 100_000),
)
TRAINING_LIMIT = 2000.0


def peak() -> float:
    """Greatest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def measure(mode: str, peer: str, steps: int, hidden: int, threads: int) -> dict[str, float | str]:
    """Runs once in this process."""
    import torch

    from recurra import nn

    torch.set_num_threads(threads)
    extra = {"memory": "recompute"} if mode == "training, recompute" else {}
    try:
        layer = (torch.nn if peer == "torch" else nn).LSTM(hidden, hidden, **extra)
    except TypeError as error:
        return {"refused": str(error)}
    x = torch.randn(steps, 1, hidden)
    with torch.no_grad():
        layer(x[:10])  # what the first call alone costs
    size = 4e-6 * x.numel()  # of the output, in MB
    if mode == "inference":
        before = peak()
        with torch.no_grad():
            layer(x)
        return {"growth": peak() - before - size, "peak": peak()}
    grad = torch.randn_like(x)
    before = peak()
    output, _ = layer(x.requires_grad_())
    output.backward(grad)
    return {"growth": peak() - before - size, "peak": peak()}


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps, to try the script out")
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run is not None:
        mode, peer, steps = RUNS[args.run]
        print(json.dumps(measure(mode, peer, round(steps * args.scale), args.hidden, args.threads)))
        return
    print("| | peer | steps | MB beyond the output | MB at the peak | needed |\n|---|---|---:|---:|---:|---:|")
    for i, (mode, peer, steps) in enumerate(RUNS):
        found = processes.script(__file__, *sys.argv[1:], "--run", i, threads=args.threads)
        if "refused" in found:
            print(f"| {mode} | {peer} | | not measured: {found['refused']} | | |", flush=True)
            continue
        needed = f"peak ≤ {TRAINING_LIMIT:,.0f}" if "recompute" in mode else ""
        figures = f"{max(found['growth'], 0):,.1f} | {found['peak']:,.0f}"
        print(f"| {mode} | {peer} | {round(steps * args.scale):,} | {figures} | {needed} |", flush=True)


if __name__ == "__main__":
    main()
