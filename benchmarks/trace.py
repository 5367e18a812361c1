"""What it costs to see every gate and state: `recurra.trace` beside a forward pass in training, and beside a loop.

Usage: python benchmarks/trace.py [--rounds 3] [--threads 2]

An LSTM, 32 sequences of 100 steps, hidden size 128. The forward pass stores what its backward pass needs. The loop goes
step by step over the equations with the weights of torch's LSTMCell and keeps its gates, as one has to without a trace;
LSTMCell itself gives none of them away. All three end with the same states, which is checked first. The forward pass
and the trace take turns call by call; the loop, whose pool of threads would disturb them, has processes of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from recurra.bench import processes

BATCH, STEPS, HIDDEN = 32, 100, 128
NEEDED = 1.5
WAYS = ("engine", "loop")


def prepare(way: str, batch: int, steps: int, hidden: int) -> dict[str, Callable[[], Any]]:
    """What is timed in one process."""
    import torch

    from recurra import nn

    layer, x = nn.LSTM(hidden, hidden, batch_first=True), torch.randn(batch, steps, hidden)
    last = layer(x)[1][1][0].detach()
    if way == "engine":
        import recurra

        check(torch.from_numpy(recurra.trace(layer, x)["cell"].values[0, 0, :, -1]), last)
        return {"forward": lambda: layer(x), "trace": lambda: recurra.trace(layer, x)}
    cell = torch.nn.LSTMCell(hidden, hidden)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            weight.copy_(getattr(layer, f"{name}_l0"))

    @torch.no_grad()
    def loop() -> dict[str, torch.Tensor]:
        h = c = x.new_zeros(batch, hidden)
        found: dict[str, list[torch.Tensor]] = {name: [] for name in (*layer.stack.cell.gates, "hidden", "cell")}
        for x_t in x.unbind(1):
            gates = torch.addmm(cell.bias_ih + cell.bias_hh, x_t, cell.weight_ih.T).addmm_(h, cell.weight_hh.T)
            i, f, g, o = gates.chunk(4, 1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f * c + i * g
            h = o * c.tanh()
            for seen, value in zip(found.values(), (i, f, g, o, h, c), strict=True):
                seen.append(value)
        return {name: torch.stack(seen, 1) for name, seen in found.items()}

    check(loop()["cell"][:, 0], cell(x[:, 0])[1])
    check(loop()["cell"][:, -1], last)
    return {"loop": loop}


def check(found: Any, expected: Any) -> None:
    """Nothing is timed that is not right."""
    if not found.allclose(expected, atol=1e-5):
        raise SystemExit(f"the states differ by {float((found - expected).abs().max())}")


def measure(calls: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Median seconds of each, taking turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    end = perf_counter() + seconds
    while perf_counter() < end or len(found[next(iter(found))]) < 5:
        for name, call in calls.items():
            start = perf_counter()
            result = call()
            found[name].append(perf_counter() - start)
            del result  # its memory serves the next call
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of timing each process in each round")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, to try the script out")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [max(2, round(size * args.scale)) for size in (BATCH, STEPS, HIDDEN)]
    if args.way is not None:
        import torch

        torch.set_num_threads(args.threads)
        print(json.dumps(measure(prepare(args.way, *sizes), args.seconds)))
        return
    found: dict[str, list[float]] = {}
    for way in processes.turns(WAYS, args.rounds):
        answer = processes.script(__file__, *sys.argv[1:], "--way", way, threads=args.threads)
        for name, seconds in answer.items():
            found.setdefault(name, []).append(seconds)
    medians = {name: statistics.median(times) for name, times in found.items()}
    print(f"LSTM, batch {sizes[0]}, {sizes[1]} steps, hidden size {sizes[2]}, {args.threads} threads\n")
    print("| | ms | times the forward pass | needed |\n|---|---:|---:|---:|")
    for name, what in {
        "forward": "forward pass in training",
        "trace": "recurra.trace: all gates and states, with names",
        "loop": "loop over the steps that keeps its gates",
    }.items():
        needed = f"≤ {NEEDED}" if name == "trace" else ""
        ratio = medians[name] / medians["forward"]
        print(f"| {what} | {1e3 * medians[name]:.2f} | {ratio:.2f} | {needed} |")
    print(f"\nthe loop takes {medians['loop'] / medians['trace']:.1f} times as long as the trace")


if __name__ == "__main__":
    main()
