"""`recurra predict`: predictions for new sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say, show_json
from recurra.cli.support.files import TABLES, is_from_excel
from recurra.cli.support.options import PredictOptions, with_options
from recurra.cli.support.rows import counted_on_terminal, write_rows
from recurra.cli.tasks import module_of, source_of
from recurra.errors import UsageError

from .evaluate import Model


@with_options(PredictOptions)
def predict(
    model: Model,
    data: Annotated[
        str, typer.Argument(help="A text, a file, or - for one text per line on standard input.", metavar="TEXT|DATA|-")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a .csv, .tsv, .jsonl or .parquet file instead.")
    ] = None,
    excel: Annotated[
        bool | None,
        typer.Option(
            "--excel/--no-excel",
            help="Begin a .csv or .tsv file with a byte order mark, so that Excel reads it as UTF-8. By default "
            "this is done if the input is a table in CP949 or in UTF-8 with this mark.",
        ),
    ] = None,
    *,
    options: PredictOptions,
) -> None:
    """Predict: one JSON object per line, in the order of the input.

    [bold]Examples[/bold]

      echo "a fine film" | recurra predict my-model -
      recurra predict my-model "a fine film"
      recurra predict my-model new.csv --out predictions.csv
      recurra predict my-model new.csv --out predictions.csv --excel
    """
    from recurra.tasks import load

    if excel and (out is None or out.suffix.lower() not in TABLES):
        raise UsageError("--excel goes with --out and a file that ends in .csv or .tsv")
    estimator: Any = load(model)
    commands = module_of(estimator, options)
    source = source_of(estimator, data)
    writes = isinstance(source, str) and out is not None and hasattr(commands, "write")
    if writes and commands.write(estimator, source, options, out):
        return
    rows = _number(map(estimator.service().rounded, commands.predict(estimator, source, options)))
    rows = counted_on_terminal(rows, shown=source != "-" and (out is not None or not sys.stdout.isatty()))
    if out is None:
        for row in rows:
            show_json(row)
        sys.stdout.flush()
    else:
        mark = is_from_excel(source, options) if excel is None else excel
        _write(out, rows, mark and out.suffix.lower() in TABLES)


def _number(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        yield {"row": number, **row}


def _write(out: Path, rows: Iterator[dict[str, Any]], byte_order_mark: bool) -> None:
    flat = (
        {k: v for k, v in row.items() if k != "probabilities"}
        | {f"probability {label}": p for label, p in row.get("probabilities", {}).items()}
        for row in rows
    )
    count = write_rows(out, flat, byte_order_mark=byte_order_mark)
    say(f"{count:,} predictions written to {out}{' (UTF-8 with a byte order mark)' if byte_order_mark else ''}")
