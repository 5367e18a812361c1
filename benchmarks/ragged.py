"""What unequal lengths cost in training: torch's packing, our `lengths`, and a dense batch of as many tokens.

Usage: python benchmarks/ragged.py [NSMC_FILE] [--rounds 3] [--threads 2]

One training step (forward, backward to the input and all weights) of a two-layer bidirectional LSTM-128 with input
128, on random batches of 128 film reviews. A review is as long as it has characters, at least 1, because torch packs no
empty sequence. Without a file the lengths are drawn from a log-normal distribution with median 27 and sigma 0.75, cut
to 1 … 140, which is near that of the reviews. Every contender has a process of its own; the processes take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np

from recurra.bench import processes
from recurra.bench.timing import seconds_per_call

NAMES = ("packed torch", "ragged recurra", "dense recurra")
TARGETS = {"packed torch": ("≥", 5.0), "dense recurra": ("≤", 1.15)}


def draw_lengths(file: Path | None, batches: int, size: int) -> np.ndarray:
    """Lengths of random batches, `(batches, size)`."""
    random = np.random.default_rng(0)
    if file is None:
        drawn = random.lognormal(np.log(27), 0.75, (batches, size))
        return np.clip(drawn.round(), 1, 140).astype(np.int64)
    from recurra.data.readers.tables import read_table

    texts = read_table(file, ["document"]).table.column(0).to_pylist()
    found = np.array([max(len(text or ""), 1) for text in texts])
    return random.choice(found, (batches, size), replace=False)


def contender(name: str, lengths: list[list[int]], hidden: int):
    """A function that takes one training step on each batch, and returns the gradients of the last."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from recurra import nn

    torch.manual_seed(0)
    kind = torch.nn.LSTM if name == "packed torch" else nn.LSTM
    layer = kind(hidden, hidden, 2, bidirectional=True, batch_first=True)
    data = []
    for row in lengths:
        steps = max(row) if name != "dense recurra" else max(round(sum(row) / len(row)), 1)
        x = torch.randn(len(row), steps, hidden, requires_grad=True)
        data.append((x, torch.randn(len(row), steps, 2 * hidden), torch.tensor(row)))

    def forward(x, row):
        if name == "dense recurra":
            return layer(x)[0]
        if name == "ragged recurra":
            return layer(x, lengths=row)[0]
        packed = pack_padded_sequence(x, row, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(layer(packed)[0], batch_first=True)[0]

    def call():
        for x, grad, row in data:
            found = torch.autograd.grad(forward(x, row), [x, *layer.parameters()], grad)
        return found

    return call


def check(lengths: list[list[int]], hidden: int) -> None:
    """Refuses to time what is not right."""
    import torch

    found = [contender(name, lengths[:1], hidden)() for name in NAMES[:2]]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


def seconds_per_token(name: str, lengths: list[list[int]], hidden: int, threads: int, budget: float) -> float:
    """Times a contender in this process."""
    import torch

    torch.set_num_threads(threads)
    tokens = [sum(row) if name != "dense recurra" else len(row) * max(round(sum(row) / len(row)), 1) for row in lengths]
    return seconds_per_call(contender(name, lengths, hidden), budget) / sum(tokens)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=2.0, help="of timing in each round")
    parser.add_argument("--contender", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    lengths = draw_lengths(args.file, args.batches, args.batch_size)
    if args.contender:
        found = seconds_per_token(args.contender, lengths.tolist(), args.hidden, args.threads, args.seconds)
        print(json.dumps({"seconds": found}))
        return
    check(lengths.tolist(), args.hidden)
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for name in processes.turns(NAMES, args.rounds):
        answer = processes.script(__file__, *sys.argv[1:], "--contender", name, threads=args.threads)
        found[name].append(answer["seconds"])
    ours = statistics.median(found["ragged recurra"])
    share = lengths.sum() / (lengths.max(1) * lengths.shape[1]).sum()
    source = args.file.name if args.file else "log-normal"
    print(
        f"{args.threads} threads; {source}: {lengths.mean():.1f} tokens a sequence, {share:.0%} of the padded batch\n"
    )
    print("| | ns per token | times ragged recurra | needed |\n|---|---:|---:|---:|")
    for name in NAMES:
        taken = statistics.median(found[name])
        ratio = taken / ours if name == "packed torch" else ours / taken
        sign, needed = TARGETS.get(name, ("", ""))
        words = {"packed torch": "slower", "dense recurra": "of the time"}.get(name, "")
        print(f"| {name} | {1e9 * taken:,.0f} | {ratio:.2f} {words} | {sign} {needed} |")


if __name__ == "__main__":
    main()
