"""Two workers and one process: losses, and metrics of the test part beside those of other seeds.

Usage: python benchmarks/workers.py [--precision float32] [--tasks classify tag …] [--out FILE]

Trains four tasks on the samples of the package: with seeds 0, 1 and 2 in one process, and with seed 0 and two workers.
The loss is that of the last epoch, over all its tokens. Ray must be installed, see the extra `cluster`. Where Ray shall
use the loopback interface only: unshare -n sh -c "ip link set lo up; python benchmarks/workers.py"
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import recurra

SAMPLES = Path(recurra.__file__).parent / "data" / "samples"
SEEDS = (0, 1, 2)


class Task(NamedTuple):
    """A task, its files and options, and the metric that is compared."""

    train: str
    test: str
    options: str
    metric: str


TASKS = {
    "classify": Task("nsmc/train.tsv", "nsmc/test.tsv", "--input document --target label --epochs 2", "accuracy"),
    "tag": Task("tag/train.conllu", "tag/test.conllu", "--epochs 40", "accuracy"),
    "forecast": Task(
        "forecast/shops.csv",
        "forecast/shops.csv",
        "--time day --target sold --id shop --known promotion --horizon 28 --epochs 6 --batch-size 32",
        "mae",
    ),
    "generate": Task("generate/train.txt", "generate/test.txt", "--epochs 9", "bits_per_character"),
}


def recurra_command(*arguments: object) -> str:
    """Runs a command of the package; returns what it prints."""
    command = [sys.executable, "-m", "recurra", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def trained(task: str, folder: Path, seed: int, precision: str, *options: object) -> tuple[float, float, int]:
    """Returns the last loss, the metric of the test part, and the number of steps."""
    found = TASKS[task]
    arguments = [*found.options.split(), "--patience", 1000, "--seed", seed, "--precision", precision, *options]
    logs = folder.with_suffix(".logs")
    recurra_command("fit", task, SAMPLES / found.train, *arguments, "--out", folder, "--logger", f"csv={logs}")
    with next(logs.rglob("metrics.csv")).open(encoding="utf-8") as file:
        steps = max(int(row["step"]) for row in csv.DictReader(file))
    metrics = json.loads(recurra_command("evaluate", folder, SAMPLES / found.test, "--json"))
    model: Any = recurra.load(folder)
    return model.history_[-1]["loss"], metrics[found.metric], steps


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    print("| task | steps | metric | one process, seeds 0, 1, 2 | two workers, seed 0 | difference of the losses |")
    print("|---|---:|---|---|---:|---:|")
    rows = []
    for task in args.tasks:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            alone = [trained(task, folder / f"seed{seed}", seed, args.precision) for seed in SEEDS]
            workers = ("--workers", 2, "--threads-per-worker", 1)
            together = trained(task, folder / "workers", 0, args.precision, *workers)
        difference = abs(together[0] / alone[0][0] - 1)
        metric = TASKS[task].metric.replace("_", " ")
        seeds = ", ".join(f"{value:.4f}" for _, value, _ in alone)
        print(f"| {task} | {together[2]} | {metric} | {seeds} | {together[1]:.4f} | {difference:.1e} |", flush=True)
        rows.append({"task": task, "alone": alone, "workers": together, "difference": difference})
    if args.out:
        args.out.write_text(json.dumps({"precision": args.precision, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
