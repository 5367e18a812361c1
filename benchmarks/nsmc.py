"""`recurra fit classify` and the same network in plain PyTorch (nsmc_pytorch.py), side by side on the same reviews.

Usage: python benchmarks/nsmc.py TRAIN VALID [--rounds 1] [--epochs 6] [--threads 2]

Each run is a process of its own and the processes take turns, each round with another seed. Tokens per second count the
training steps alone (forward, backward, optimiser), median of the epochs; the accuracy is the best epoch's on VALID.
PyTorch comes twice: plain, in the random batches of a DataLoader, and in Recurra's batches of reviews of like length.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from recurra.bench import processes

NAMES = ("recurra", "PyTorch, plain", "PyTorch, batches of like length")
NEEDED = 4.0
PYTORCH = Path(__file__).with_name("nsmc_pytorch.py")


def run_recurra(train: Path, valid: Path, epochs: int, seed: int, threads: int) -> dict[str, float]:
    """Trains by the command line, and reads the figures from the model folder."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        command = [
            sys.executable,
            "-m",
            "recurra",
            "fit",
            "classify",
            train,
            "--input",
            "document",
            "--target",
            "label",
        ]
        command += ["--valid", valid, "--out", out, "--epochs", epochs, "--seed", seed]
        given = [str(part) for part in command]
        done = subprocess.run(given, env=processes.environment(threads), capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        history = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["history"]
    return {
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in history),
        "accuracy": max(row["valid_accuracy"] for row in history),
    }


def run_pytorch(train: Path, valid: Path, epochs: int, seed: int, threads: int, alike: bool) -> dict[str, float]:
    """Trains by the script."""
    options = ("--epochs", epochs, "--seed", seed, "--threads", threads, *(["--alike"] if alike else []))
    return processes.script(str(PYTORCH), train, valid, *options, threads=threads)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for name in processes.turns(NAMES, args.rounds):
        given = args.train, args.valid, args.epochs, len(found[name]), args.threads
        found[name].append(run_recurra(*given) if name == NAMES[0] else run_pytorch(*given, name == NAMES[2]))
    print(f"{args.threads} threads, {args.epochs} epochs, seeds 0 … {args.rounds - 1}\n")
    print("| | tokens/s in training | accuracy, mean | lowest | highest |\n|---|---:|---:|---:|---:|")
    speeds = {name: statistics.median(run["tokens_per_second"] for run in runs) for name, runs in found.items()}
    for name, runs in found.items():
        scores = [run["accuracy"] for run in runs]
        figures = (statistics.fmean(scores), min(scores), max(scores))
        print(f"| {name} | {speeds[name]:,.0f} |" + "".join(f" {figure:.4f} |" for figure in figures))
    ours, plain, alike = (speeds[name] for name in NAMES)
    print(f"\nratio of tokens/s to plain PyTorch: {ours / plain:.2f}, needed ≥ {NEEDED:g}")
    print(f"to PyTorch in our batches of like length: {ours / alike:.2f}")


if __name__ == "__main__":
    main()
