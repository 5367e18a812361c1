"""Which pooling is the best default? Trains on the NSMC small cut with each, on several seeds.

Usage: python benchmarks/pooling.py DATA_FOLDER [--seeds 3] [--bidirectional]

The best epoch is chosen on a tenth of the training rows; the figures are on the 5,000 test rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from recurra import SequenceClassifier
from recurra.data.readers.tables import read_table
from recurra.nn import POOLINGS


def main() -> None:
    """Prints a table in Markdown, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bidirectional", action="store_true")
    args = parser.parse_args()
    columns = ["document", "label"]
    train = read_table(args.data / "nsmc" / "small_train_20000.txt", columns).table
    test = read_table(args.data / "nsmc" / "small_test_5000.txt", columns).table
    print("| pooling | test accuracy, mean | lowest | highest | test loss, mean |\n|---|---|---|---|---|", flush=True)
    for pooling in POOLINGS:
        found = []
        for seed in range(args.seeds):
            model = SequenceClassifier(pooling=pooling, bidirectional=args.bidirectional, random_state=seed)
            model.fit(train.column(0), train.column(1))
            found.append(model.evaluate(test.column(0), test.column(1)))
        accuracy = [f["accuracy"] for f in found]
        loss = np.mean([f["loss"] for f in found])
        figures = (np.mean(accuracy), min(accuracy), max(accuracy), loss)
        print(f"| {pooling} |" + "".join(f" {figure:.4f} |" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
