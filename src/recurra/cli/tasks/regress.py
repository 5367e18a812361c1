"""`regress` on the command line: a number for each sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recurra.cli.support.options import Asking, takes

from . import many_to_one
from .many_to_one import SequenceFitting, Train, inputs, read

__all__ = ["fit", "inputs", "predict", "read"]


@takes(SequenceFitting)
def fit(train: Train, *, options: SequenceFitting) -> None:
    """Train a regressor: one number for each sequence.

    [bold]Examples[/bold]

      recurra fit regress essays.csv --input text --target score
      recurra fit regress engines.parquet --id engine --time cycle --features t1,t2,p15 --target remaining
      recurra fit regress heart_TRAIN.ts --cell gru --out my-model

    Sequences without a number to predict are left out.
    """
    many_to_one.fit("regress", train, options)


def predict(estimator: Any, source: str | list[str], options: Asking) -> Iterator[dict[str, Any]]:
    """The number predicted for each sequence."""
    return many_to_one.predict(
        estimator, source, options, lambda chunk: ({"value": value} for value in estimator.predict(chunk).tolist())
    )
