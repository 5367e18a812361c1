"""`recurra predict`: predictions for new sequences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say, show_json
from recurra.cli.support.files import TABLES, is_from_excel, listed
from recurra.cli.support.options import SharedPredictOptions, with_options
from recurra.cli.support.parts import PartFolder
from recurra.cli.support.rows import counted_on_terminal, flat, write_rows
from recurra.cli.support.values.completion import completing
from recurra.cli.tasks import module_of, source_of
from recurra.cli.tasks.parts import predict_parts
from recurra.cli.tasks.tables.kept import with_columns
from recurra.errors import UsageError

from .evaluate import Model


@with_options(SharedPredictOptions)
def predict(
    model: Model,
    data: Annotated[
        str, typer.Argument(help="A text, a file, or - for one text per line on standard input.", metavar="TEXT|DATA|-")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write a .csv, .tsv, .jsonl or .parquet file instead. A name without an ending is a folder of "
            "numbered files, which --workers needs.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of the files in a folder: parquet, csv, tsv or jsonl.  [default: parquet]",
            autocompletion=completing("parquet", "csv", "tsv", "jsonl"),
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Write the files that are missing in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files in the folder.")] = False,
    keep: Annotated[
        str | None,
        typer.Option("--keep", help="Columns of the input table to copy beside the predictions, such as id,label."),
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
    options: SharedPredictOptions,
) -> None:
    """Predict: one JSON object per line, in the order of the input.

    [bold]Examples[/bold]

      echo "a fine film" | recurra predict my-model -
      recurra predict my-model "a fine film"
      recurra predict my-model new.csv --out predictions.csv
      recurra predict my-model new.csv --keep id,label --out predictions.csv
      recurra predict my-model data --out predictions --workers 4
    """
    from recurra.tasks import load

    if excel and (out is None or out.suffix.lower() not in TABLES):
        raise UsageError("--excel goes with --out and a file that ends in .csv or .tsv")
    estimator: Any = load(model)
    commands = module_of(estimator, options)
    source = source_of(estimator, data)
    folder = _folder(out, source, format, resume, overwrite, options)
    if folder is not None:
        if keep is not None:
            raise UsageError("--keep needs --out with the name of a file, or no --out")
        predict_parts(estimator, model, str(source), options, folder)
        return
    writes = isinstance(source, str) and out is not None and hasattr(commands, "write")
    if writes and keep is None and commands.write(estimator, source, options, out):
        return
    rows = _number(map(estimator.service().rounded, commands.predict(estimator, source, options)))
    if keep is not None:
        rows = with_columns(rows, estimator, commands, source, options, listed(keep))
    rows = counted_on_terminal(rows, shown=source != "-" and (out is not None or not sys.stdout.isatty()))
    if out is None:
        for row in rows:
            show_json(row)
        sys.stdout.flush()
    else:
        mark = is_from_excel(source, options) if excel is None else excel
        _write(out, rows, mark and out.suffix.lower() in TABLES)


FORMATS = ("parquet", "csv", "tsv", "jsonl")


def _folder(
    out: Path | None,
    source: str | list[str],
    format: str | None,
    resume: bool,
    overwrite: bool,
    options: SharedPredictOptions,
) -> PartFolder | None:
    """Returns the folder to write; None for a file and for standard output.

    Raises:
        UsageError: an option needs a folder.
    """
    if out is None or out.suffix or (out.exists() and not out.is_dir()):
        given = {"--workers": options.processes(), "--format": format, "--resume": resume, "--overwrite": overwrite}
        for name, value in given.items():
            if value:
                raise UsageError(f"{name} needs --out with the name of a folder, which has no ending such as .csv")
        return None
    if source == "-" or isinstance(source, list):
        raise UsageError(f"--out {out} is a folder, for data from files; give a name such as {out}.csv")
    if format not in (None, *FORMATS):
        raise UsageError(f"--format is {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {format!r:.40}")
    return PartFolder(out, f".{format or FORMATS[0]}", resume, overwrite)


def _number(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        yield {"row": number, **row}


def _write(out: Path, rows: Iterator[dict[str, Any]], byte_order_mark: bool) -> None:
    count = write_rows(out, flat(rows), byte_order_mark=byte_order_mark)
    say(f"{count:,} predictions written to {out}{' (UTF-8 with a byte order mark)' if byte_order_mark else ''}")
