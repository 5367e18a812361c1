"""`recurra embed`: vectors of sequences, for other models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.commands.evaluate import Model
from recurra.cli.support.console import say, show_json
from recurra.cli.support.files import TABLES
from recurra.cli.support.options import PredictOptions, with_options
from recurra.cli.support.rows import counted_on_terminal, write_rows
from recurra.cli.tasks import module_of, source_of
from recurra.errors import UsageError

_OTHERS = (
    *("top", "proba", "n_best", "bleu_tokens", "target_file", "beam", "length_bonus"),
    *("choices", "marks", "timestamps", "plot", "part", "horizon", "future"),
)


@with_options(PredictOptions, without=_OTHERS)
def embed(
    model: Model,
    data: Annotated[
        str, typer.Argument(help="A text, a file, or - for one text per line on standard input.", metavar="TEXT|DATA|-")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write a .parquet, .jsonl, .csv or .tsv file instead, with a row for each vector."),
    ] = None,
    steps: Annotated[bool, typer.Option("--steps", help="One vector per step instead of one per sequence.")] = False,
    *,
    options: PredictOptions,
) -> None:
    """Write a vector per sequence: what a network computes before its last layer.

    [bold]Examples[/bold]

      recurra embed my-model new.csv --out vectors.parquet
      recurra embed my-model "a fine film" --steps
    """
    from recurra.tasks import load

    estimator: Any = load(model)
    commands = module_of(estimator, options)
    if not hasattr(estimator, "transform"):
        raise UsageError(f"a {estimator.title.lower()} gives no vectors: it has no transform")
    source = source_of(estimator, data)
    if hasattr(commands, "chunks"):
        chunks = commands.chunks(estimator, source, options)
    else:
        chunks = ((arguments[0], None) for arguments in commands.inputs(estimator, source, options))
    rows = _rows(estimator, chunks, steps)
    rows = counted_on_terminal(rows, shown=data != "-" and (out is not None or not sys.stdout.isatty()))
    if out is None:
        for row in rows:
            show_json(row)
        sys.stdout.flush()
        return
    count = write_rows(out, _spread(rows) if out.suffix.lower() in TABLES else rows)
    say(f"{count:,} vectors written to {out}")


def _rows(estimator: Any, chunks: Iterator[tuple[Any, Any]], steps: bool) -> Iterator[dict[str, Any]]:
    """Yields a row for the vector of each sequence, or of each step."""
    first = 1
    for chunk, ids in chunks:
        found = (estimator.transform_steps if steps else estimator.transform)(chunk)
        names = estimator.step_names(chunk) if steps else None
        for i, values in enumerate(found):
            row = {"row": first + i} if ids is None else {"row": first + i, "id": ids[i]}
            vectors = values.astype(str).astype(float).tolist()  # as short as float32 allows
            if not steps:
                yield row | {"vector": vectors}
            for number, vector in enumerate(vectors if steps else (), 1):
                token = {} if names is None else {"token": names[i][number - 1]}
                yield {**row, "step": number, **token, "vector": vector}
        first += len(found)


def _spread(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields rows with a column for each number of the vector."""
    for row in rows:
        vector = row.pop("vector")
        yield row | {f"v{i}": value for i, value in enumerate(vector)}
