"""Speed of compiled cells: against our hand-written kernels, the reference loop, and `torch.compile` of that loop."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from . import hardware_limit
from .run import Tell

ROUNDS, QUICK_ROUNDS = 9, 3
GATED = ("mgu", "peephole_lstm", "layer_norm_lstm", "slstm", "layer_norm_gru", "mogrifier_lstm", "reset_before_gru")
BY_UNIT = ("mingru", "minlstm", "sru", "indrnn", "rglru")
"""Cells without a recurrent matrix."""


class Sizes(NamedTuple):
    """Sizes of a measurement: sequences, steps, and units, which are also the features.

    Example:
        >>> str(Sizes(32, 100, 128))
        'B32 T100 H128'
    """

    batch: int
    steps: int
    hidden: int

    def __str__(self) -> str:
        return f"B{self.batch} T{self.steps} H{self.hidden}"


def measure(*, quick: bool, threads: int, compiled_loop: bool, tell: Tell) -> dict[str, Any]:
    """Measures all cells in turns, after a check that the results agree.

    Args:
        quick: whether to measure few sizes in few rounds.
        threads: threads of torch and of the engine.
        compiled_loop: whether to measure `torch.compile` of the reference loop too; minutes per cell.
        tell: progress callback.

    Returns:
        Seconds and ratios of each cell. A ratio above 1 means that the compiled cell is faster.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    plan = _plan(quick)
    rows = []
    try:
        for i, (group, cell, sizes, rivals) in enumerate(plan):
            tell(f"timing {cell}", i, len(plan))
            wanted = [*rivals, "torch.compile"] if compiled_loop and "loop" in rivals else rivals
            row = {"group": group, "cell": cell, "sizes": str(sizes), **_row(cell, sizes, wanted, quick)}
            if cell in BY_UNIT:
                row["limits"] = _limits(cell, sizes, row["seconds"]["training"], threads)
            rows.append(row)
    finally:
        torch.set_num_threads(before)
    return {"threads": threads, "cells": rows}


def tables(result: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Returns title, columns and rows of a table per group."""
    found = []
    for group in dict.fromkeys(row["group"] for row in result["cells"]):
        rows = [row for row in result["cells"] if row["group"] == group]
        rivals = list(dict.fromkeys(name for row in rows for name in row["ratios"]))
        body = []
        for row in rows:
            times = [f"{row['seconds'][mode] * 1e3:.3g}" for mode in ("inference", "training")]
            ratios = [f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "" for name in rivals]
            limits = [f"{share:.0%}" for share in row.get("limits", {}).values()]
            body.append([row["cell"], row["sizes"], *times, *ratios, *limits])
        names = [f"of {name}" for name in rows[0].get("limits", {})]
        columns = ["cell", "sizes", "inference, ms", "training, ms", *(f"× {n}" for n in rivals), *names]
        found.append((group, columns, body))
    return found


def _plan(quick: bool) -> list[tuple[str, str, Sizes, list[str]]]:
    """Group, cell, sizes and rivals of each row."""
    hand = "LSTM and GRU, compiled from their equations, against the kernels"
    gated, by_unit = "cells with a recurrent matrix", "cells without a recurrent matrix"
    wide = [Sizes(b, 100, h) for b in (32, 1) for h in ((128,) if quick else (128, 256))]
    plan = [
        (hand, cell, sizes, ["kernel, inference", "kernel, training"]) for cell in ("lstm", "gru") for sizes in wide
    ]
    middle = Sizes(32, 100, 128)
    for cell in GATED[:2] if quick else GATED:
        plan += [(gated, cell, sizes, ["LSTM", "loop"]) for sizes in (middle, Sizes(1, 100, 128))]
    long = Sizes(1, 1000 if quick else 10_000, 256)
    for cell in BY_UNIT[:1] if quick else BY_UNIT:
        plan += [(by_unit, cell, middle, ["LSTM", "loop"]), (by_unit, cell, Sizes(32, 100, 256), ["LSTM"])]
        plan.append((by_unit, cell, long, ["LSTM"]))
    return plan


def _row(cell: str, sizes: Sizes, rivals: Sequence[str], quick: bool) -> dict[str, Any]:
    ours = {mode: _call(cell, sizes, "compiled", mode) for mode in ("inference", "training")}
    calls: dict[str, Callable[[], Any]] = dict(ours)
    seconds: dict[str, Any] = {}
    for rival in rivals:
        if rival.startswith("kernel"):
            calls[rival] = _call(cell, sizes, "native", rival.split(", ")[1])
        elif rival == "LSTM":
            calls[rival] = _call("lstm", sizes, "native", "training")
        elif rival == "loop":
            calls[rival] = _call(cell, sizes, "reference", "training")
        else:
            calls[rival] = _call(cell, sizes, "reference", "training", compiling=True)
            start = perf_counter()
            calls[rival]()
            seconds["compile time"] = perf_counter() - start
    _check(cell, sizes)
    found = _interleaved(calls, QUICK_ROUNDS if quick else ROUNDS)
    seconds |= found
    ratios = {name: found[name] / found["inference" if "inference" in name else "training"] for name in rivals}
    return {"seconds": seconds, "ratios": ratios}


def _limits(cell: str, sizes: Sizes, seconds: float, threads: int) -> dict[str, float]:
    """Shares of the measured bandwidth and peak that training reaches, for a cell whose products are of the input.

    The bytes are the least that training must move: it reads the input twice, writes and reads the products of the
    input and their gradients, and reads or writes the output and the gradients of output and input once.
    """
    layer, _ = _layer(cell, sizes, "compiled")
    rows, tokens, size = layer.weight_ih_l0.shape[0], sizes.batch * sizes.steps, sizes.hidden
    bytes_moved = 4 * tokens * (2 * size + 4 * rows + 3 * size)
    limit = hardware_limit.measure(threads, [bytes_moved])
    bandwidth = 1e9 * limit["bandwidth_gbytes"][str(bytes_moved)]
    operations = 3 * 2 * tokens * rows * size  # the products of the input, and their two gradients
    return {
        "the bandwidth": bytes_moved / bandwidth / seconds,
        "the peak": operations / (1e9 * limit["peak_gflops"]) / seconds,
    }


def _interleaved(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call. The calls take turns, because the speed of a machine changes."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = perf_counter()
            call()
            times[name].append(perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def _call(cell: str, sizes: Sizes, engine: str, mode: str, *, compiling: bool = False) -> Callable[[], Any]:
    import torch

    layer, values = _layer(cell, sizes, engine)

    def infer() -> Any:
        with torch.no_grad():
            return layer(values)

    def train() -> Any:
        layer.zero_grad(set_to_none=True)
        output, _ = run(values)
        output.sum().backward()
        return [weight.grad for weight in layer.parameters()]

    run = torch.compile(layer) if compiling else layer
    return infer if mode == "inference" else train


def _layer(cell: str, sizes: Sizes, engine: str) -> tuple[Any, Any]:
    import torch

    from recurra import nn

    generator = torch.Generator().manual_seed(0)
    layer = nn.Recurrent(cell, sizes.hidden, sizes.hidden, batch_first=True, engine=engine)
    with torch.no_grad():
        for weight in layer.parameters():
            bound = 1 / sizes.hidden**0.5
            weight.uniform_(-bound, bound, generator=generator)
    return layer, torch.randn(sizes.batch, sizes.steps, sizes.hidden, generator=generator)


def _check(cell: str, sizes: Sizes) -> None:
    """Compares output and gradients with the reference loop on shorter sequences."""
    from .gate import TOLERANCE, GateError

    short = sizes._replace(steps=min(sizes.steps, 20))
    for mode in ("inference", "training"):
        ours, theirs = (_call(cell, short, engine, mode)() for engine in ("compiled", "reference"))
        pairs = zip(ours, theirs, strict=True) if mode == "training" else [(ours[0], theirs[0])]
        for one, other in pairs:
            largest = other.abs().max().item()
            if not (one - other).abs().max().item() <= TOLERANCE * max(largest, 1e-30):
                raise GateError(f"{cell} {sizes}: the compiled cell and the reference loop differ in {mode}")
