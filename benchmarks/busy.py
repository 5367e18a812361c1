"""How much slower the layers become while other programs keep every core busy.

Usage: python benchmarks/busy.py [--rounds 3] [--threads 2]

As many spinning processes as there are threads stand beside the timed one. Threads that share their cores fairly with
them lose half of their time, so 2 × is to be expected where threads and cores are as many; far more means that the
threads wait for each other by spinning.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recurra.bench import processes
from recurra.bench.cases import Case

CASES = (Case("training", "LSTM", 32, 100, 128), Case("inference", "LSTM", 1, 1, 64))
PEERS = ("recurra", "torch")
NEEDED = 2.5


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Keeps so many processes busy while the block runs."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(peer: str, threads: int, seconds: float) -> list[float]:
    """Seconds of each case, in a process of its own."""
    order = {"do": "time", "peer": peer, "cases": [case.as_dict() for case in CASES], "seconds": seconds}
    return [answer["seconds"] for answer in processes.worker(order, threads)]


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing each case in each round")
    args = parser.parse_args()
    found: dict[tuple[str, bool], list[list[float]]] = {(peer, busy): [] for busy in (False, True) for peer in PEERS}
    for peer, busy in processes.turns(list(found), args.rounds):
        with spinning(args.threads if busy else 0):
            found[peer, busy].append(measure(peer, args.threads, args.seconds))
    print(f"{args.threads} threads, {args.threads} spinning processes beside\n")
    print("| | peer | idle µs | busy µs | times slower | needed |\n|---|---|---:|---:|---:|---:|")
    for i, case in enumerate(CASES):
        for peer in PEERS:
            idle, busy = (statistics.median(times[i] for times in found[peer, state]) for state in (False, True))
            needed = f"≤ {NEEDED}" if peer == "recurra" else ""
            print(f"| {case} | {peer} | {1e6 * idle:,.1f} | {1e6 * busy:,.1f} | {busy / idle:.2f} | {needed} |")


if __name__ == "__main__":
    main()
