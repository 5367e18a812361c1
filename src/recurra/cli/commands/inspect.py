"""`recurra inspect`: gates and states of a model on one sequence."""

# no `from __future__ import annotations`: typer needs the annotations themselves

from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cli.support.console import say, show_json, show_table
from recurra.cli.support.files import listed
from recurra.cli.support.options import PredictOptions, with_options
from recurra.cli.support.values.completion import completing
from recurra.cli.support.values.slices import slice_of, units_of
from recurra.errors import UsageError

from .evaluate import AllowNonfinite
from .models.several import compare_models, open_model, write_training_page

Models = Annotated[
    list[Path], typer.Argument(help="Model folder. Several models are shown side by side.", metavar="MODEL…")
]
MEGABYTES = 500
"""Default of the largest size of a trace."""

_OTHERS = ("top", "proba", "n_best", "bleu_tokens", "choices", "marks", "timestamps", "plot", "part", "time", "horizon")


@with_options(PredictOptions, without=_OTHERS)
def inspect(
    model: Models,
    data: Annotated[str, typer.Argument(help="A text, a file, or - for standard input.", metavar="TEXT|DATA|-")],
    row: Annotated[int, typer.Option("--row", help="Number of the sequence in the file, counted from 1.", min=1)] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Page to write; report.html if no other output is given, comparison.html of models."
        ),
    ] = None,
    gates: Annotated[
        str | None, typer.Option("--gates", help="Gates and states to keep, such as forget,cell; by default all.")
    ] = None,
    units: Annotated[
        str | None, typer.Option("--units", help="Units to keep, such as 0:16 or 3,5,9; by default all.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", help="Steps to keep, A:B; by default all.")] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="Language of the page: en or ko; by default that of the reader's browser.",
            autocompletion=completing("en", "ko"),
        ),
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="A page with a slider over the epochs that --keep-epochs kept.")
    ] = False,
    netcdf: Annotated[Path | None, typer.Option("--netcdf", help="Write the trace as netCDF.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write the trace as a Parquet table.")] = None,
    max_megabytes: Annotated[
        float, typer.Option("--max-megabytes", help="Refuse a trace that is larger.", min=0)
    ] = MEGABYTES,
    allow_nonfinite: AllowNonfinite = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    *,
    options: PredictOptions,
) -> None:
    """Show every gate and state of a model on a sequence, as a page, a table or a file; or several models side by side.

    [bold]Examples[/bold]

      recurra inspect my-model "a fine film" --out report.html
      recurra inspect my-model test.csv --row 3 --language ko
      recurra inspect my-model test.ts --row 1 --units 0:16 --time 0:100 --netcdf trace.nc
      recurra inspect my-rnn my-lstm my-gru "a fine film" --out comparison.html
      recurra inspect my-lstm "a fine film" --training --out training.html
    """
    from recurra.inspect import trace
    from recurra.inspect.core.trace import TooLargeError
    from recurra.inspect.report.write import check_language, write_page

    check_language(language)
    max_bytes = int(max_megabytes * 1e6)
    if len(model) > 1 or training:
        one_only = {"--gates": gates, "--units": units, "--time": time, "--netcdf": netcdf, "--parquet": parquet}
        for option, value in one_only.items():
            if value is not None:
                raise UsageError(f"{option} is for a page of one model at the end of its training; leave it out")
        more = {"language": language, "max_bytes": max_bytes, "allow_nonfinite": allow_nonfinite}
        out = out or Path("training.html" if training else "comparison.html")
        write = write_training_page if training else compare_models
        write(model, data, row, options, out, json=json, **more)
        return
    chosen: dict[str, Any] = {
        "names": None if gates is None else list(listed(gates)),
        "units": None if units is None else units_of(units),
        "time": None if time is None else slice_of("--time", time),
    }
    opened = open_model(model[0], "", data, row, options, allow_nonfinite=allow_nonfinite)
    for note in opened.subject.notes:
        say(note)
    try:
        found = trace(opened.subject, **chosen, max_bytes=max_bytes, say=say)
    except TooLargeError as error:
        raise UsageError(
            f"{error.what}\nchoose steps (--time 0:{error.steps}), units (--units 0:{error.units}) or gates "
            f"(--gates {error.name}), or raise --max-megabytes"
        ) from None
    outputs = {}
    if netcdf is not None:
        found.to_netcdf(netcdf)
        outputs["netcdf"] = str(netcdf)
    if parquet is not None:
        found.to_parquet(parquet)
        outputs["parquet"] = str(parquet)
    if out is None and not (outputs or json):
        out = Path("report.html")
    if out is not None:
        write_page(found, out, language=language, title=opened.title, code=opened.code)
        outputs["report"] = str(out)
    _show(found, str(model[0]), outputs, json)


def _show(found: Any, model: str, outputs: dict[str, str], json: bool) -> None:
    """A row for each gate and state of each layer."""
    from recurra.inspect.report.summary import summary

    rows = summary(found)
    subject = found.subject
    answer = subject.answers[0] if subject.answers else None
    if json:
        show_json({"model": model, "answer": answer, "notes": subject.notes, "layers": rows, "written": outputs})
        return
    columns = ["gate or state", "mean", "least", "greatest", "below 0.1", "above 0.9"]
    cells = [
        [
            r["place"],
            *(f"{r[k]:.3f}" for k in ("mean", "least", "greatest")),
            *("" if r[k] is None else f"{r[k]:.0%}" for k in ("closed", "open")),
        ]
        for r in rows
    ]
    show_table(f"{model} answers: {answer}" if answer else model, columns, cells)
    for what, path in outputs.items():
        say(f"{what} written to {path}")
