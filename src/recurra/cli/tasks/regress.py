"""`regress` on the command line: a number for each sequence."""

from __future__ import annotations

from recurra.cli.support.options import with_options

from . import TIMES, many_to_one
from .many_to_one import SequenceFitOptions, Train, add, chunks, evaluate, inputs, predict, read, table_columns

__all__ = [
    "EVALUATE_OPTIONS",
    "OPTIONS",
    "add",
    "chunks",
    "evaluate",
    "fit",
    "inputs",
    "predict",
    "read",
    "table_columns",
]


OPTIONS = ("input", "target", "id", "time", "features", "coverage", *TIMES)
"""See `recurra.cli.tasks`."""
EVALUATE_OPTIONS = ("by",)
"""See `recurra.cli.tasks`."""


@with_options(SequenceFitOptions)
def fit(train: Train, *, options: SequenceFitOptions) -> None:
    """Train a regressor: one number for each sequence.

    [bold]Examples[/bold]

      recurra fit regress essays.csv --input text --target score
      recurra fit regress engines.parquet --id engine --time cycle --features t1,t2,p15 --target remaining
      recurra fit regress heart_TRAIN.ts --cell gru --out my-model

    Rows without a target are left out.
    """
    many_to_one.fit("regress", train, options)
