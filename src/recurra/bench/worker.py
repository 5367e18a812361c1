"""The process of one peer: reads an order from standard input, writes a line of JSON per case.

Run by `run.py` as `python -m recurra.bench.worker`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .cases import Case
from .timing import seconds_per_call

STREAMED = 3  # calls of a stream before its results are compared


def main() -> None:
    """Executes the order."""
    order = json.load(sys.stdin)
    if order["do"] == "hardware limit":
        from . import hardware_limit

        found = hardware_limit.measure(order["threads"], order["sizes"], order["seconds"])
        _tell({**found, "facts": _facts()})
        return
    from .peers import load

    peer = load(order["peer"], order["threads"])
    cases = [Case(**case) for case in order["cases"]]
    for i, case in enumerate(cases):
        reason = peer.refuses(case)
        if reason is not None:
            _tell({"refused": reason})
        elif order["do"] == "gate":
            _gate(peer, case, Path(order["folder"]) / f"{order['peer']}-{i}.npz")
        else:
            _time(peer, case, order["seconds"], with_peak=order.get("with_peak", False))


def _gate(peer: Any, case: Case, path: Path) -> None:
    """Saves probes of the results of a case."""
    import numpy as np

    from .gate import probe

    ready = peer.prepare(case)
    with ready.context():
        for _ in range(STREAMED - 1):
            ready.call()
        results = ready.results(ready.call())
    probes: dict[str, Any] = {name: probe(array) for name, array in results.items()}
    np.savez(path, **probes)
    _tell({"saved": path.name})


def _time(peer: Any, case: Case, budget: float, *, with_peak: bool) -> None:
    """Times a case. With `with_peak`, a batch is timed between two measurements of the arithmetic peak."""
    from . import hardware_limit

    measured = with_peak and case.batch > 1
    halves = case.trains and case.halves
    peaks = [hardware_limit.peak(peer.threads, budget, halves=halves)] if measured else []
    ready = peer.prepare(case)
    with ready.context():
        found: dict[str, float] = {
            "seconds": seconds_per_call(ready.call, budget, 100 if case.mode in ("call", "step") else None)
        }
    if measured:
        found["peak_gflops"] = (peaks[0] + hardware_limit.peak(peer.threads, budget, halves=halves)) / 2
    _tell(found)


def _facts() -> dict[str, str]:
    """Returns the instruction sets that torch and our engine use."""
    import torch

    from recurra.ops.native import bindings

    if bindings.engine is None:
        ours = f"no native engine: {bindings.absent}"
    else:
        ours = f"{bindings.engine.chosen()}; products of bfloat16: {bindings.engine.bf16_engine() or 'not faster'}"
    return {"instructions of torch": torch.backends.cpu.get_cpu_capability(), "instructions of recurra": ours}


def _tell(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
