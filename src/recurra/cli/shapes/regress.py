"""`regress` on the command line: a number for each sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recurra.cli.options import Asking, Fitting, takes
from recurra.cli.training import train as run

from . import pooled
from .pooled import Input, Target, Train, read

__all__ = ["fit", "predict", "read"]


@takes(Fitting)
def fit(train: Train, input: Input, target: Target, *, options: Fitting) -> None:
    """Train a regressor: one number for each sequence.

    [bold]Examples[/bold]

      recurra fit regress essays.csv --input text --target score
      recurra fit regress sensors.parquet --input readings --target wear --cell gru --out my-model

    Rows without a number are left out.
    """
    run(
        "regress",
        train,
        options,
        lambda path, cache: pooled.read_labelled("regress", path, input, target, options, cache),
    )


def predict(estimator: Any, source: str, options: Asking) -> Iterator[dict[str, Any]]:
    """The number predicted for each sequence."""
    return pooled.predict(
        estimator, source, options, lambda chunk: ({"value": value} for value in estimator.predict(chunk).tolist())
    )
