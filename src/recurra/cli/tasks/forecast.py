"""`forecast` on the command line: the next steps of one or several series."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recurra.cli.support.console import say, show_table
from recurra.cli.support.files import Labelled, listed, read_numbers
from recurra.cli.support.options import FileOptions, FitOptions, PredictOptions, TimeOptions, parse_list, with_options
from recurra.cli.support.values.completion import completing_parameter
from recurra.errors import UsageError

from . import TIMES
from .many_to_one import Train
from .training import train as run

if TYPE_CHECKING:
    from recurra.data.columns.panel import Columns, Panel
    from recurra.data.columns.timestamps import TimeReading

__all__ = ["OPTIONS", "chunks", "fit", "inputs", "predict", "read", "show"]


OPTIONS = ("horizon", "future", "plot", "part", *TIMES)
"""See `recurra.cli.tasks`."""


def _data(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel="Data")


def _network(name: str, text: str, **extra: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel="Network", **extra)


@dataclass(frozen=True)
class ForecastFitOptions(FitOptions, TimeOptions):
    """Options of `recurra fit forecast`."""


@with_options(ForecastFitOptions)
def fit(
    train: Train,
    target: Annotated[str, _data("--target", "Column to forecast, or several: load,price.")],
    time: Annotated[
        str | None,
        _data(
            "--time",
            "Column of times, dates or whole numbers; or its parts: Date,Clock. Without it, rows are in order.",
        ),
    ] = None,
    features: Annotated[
        str | None, _data("--features", "Columns that are known for the past only: numbers or categories.")
    ] = None,
    known: Annotated[
        str | None,
        _data("--known", "Columns that are also known for the future, such as holidays; also categories."),
    ] = None,
    id: Annotated[str | None, _data("--id", "Column of ids, for several series.")] = None,
    split: Annotated[
        str | None,
        _data(
            "--split",
            "Rows or shares to train on, to validate and to test: 8640,2880,2880 or 0.7,0.1,0.2. By default the "
            "last tenth validates.",
        ),
    ] = None,
    fill_gaps: Annotated[
        bool, typer.Option("--fill-gaps", help="Insert missing steps.", rich_help_panel="Data")
    ] = False,
    horizon: Annotated[int | None, _network("--horizon", "Steps to forecast.", min=1)] = None,
    context: Annotated[
        int | None, _network("--context", "Past steps that the network reads; chosen from the data by default.", min=1)
    ] = None,
    segment: Annotated[
        int | None,
        _network("--segment", "Steps that the network reads as one; chosen from the data by default.", min=1),
    ] = None,
    quantiles: Annotated[
        str | None, _network("--quantiles", "Quantiles to forecast: 0.1,0.5,0.9; none for no intervals.")
    ] = None,
    decoding: Annotated[
        str | None, _network("--decoding", "direct, or recursive.", autocompletion=completing_parameter("decoding"))
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss", help="l1, l2 or huber.", rich_help_panel="Training", autocompletion=completing_parameter("loss")
        ),
    ] = None,
    calendar: Annotated[
        bool | None,
        _network("--calendar/--no-calendar", "Minute, hour, weekday and time of year as known columns."),
    ] = None,
    *,
    options: ForecastFitOptions,
) -> None:
    """Train a forecaster: the next steps of one or several series.

    [bold]Examples[/bold]

      recurra fit forecast load.csv --time date --target load --horizon 24 --out my-model
      recurra fit forecast shops.parquet --time day --target sold --id shop --known holiday,price --horizon 28
      recurra fit forecast ETTh1.csv --time date --target OT --horizon 24 --split 8640,2880,2880

    The last tenth of the time (more for a long horizon) selects the best epoch and calibrates the intervals. --split
    sets other parts. Rows at the end without a target are the time to forecast. A missing value is replaced by the last
    one. If the training part has missing values, the network gets an indicator of them.
    """
    from recurra.data.columns.panel import Columns

    _refuse("--tokens, --bidirectional and other options for texts", options)
    columns = Columns(listed(time) or None, listed(target), listed(features), listed(known), id)
    given = {
        "horizon": horizon,
        "context": context,
        "segment": segment,
        "quantiles": None if quantiles is None else _numbers("--quantiles", quantiles),
        "split": None if split is None else _numbers("--split", split),
        "decoding": decoding,
        "loss": loss,
        "calendar": calendar,
        "fill_gaps": fill_gaps or None,
    }
    reading = _reading(options)

    categories: dict[str, list[str]] | None = None

    def read_file(path: Path, cache: Path | None) -> Labelled:
        nonlocal reading, categories
        found = _labelled(path, columns, options, reading, categories, cache=cache, fill_gaps=fill_gaps)
        categories = found.names.get("categories", {})
        reading = reading.after(found.arguments[0].spelling)  # a validation file is read as the training file
        return found

    estimator = run(
        "forecast",
        train,
        options,
        read_file,
        {name: value for name, value in given.items() if value is not None},
    )
    sizes = f"context {estimator.context_} in segments of {estimator.segment_}, horizon {estimator.horizon}"
    season = f"season {estimator.season_}" if estimator.season_ > 1 else "no season found"
    say(f"step {estimator.preparation_.frequency}, {sizes}, {season}")
    for note in estimator.notes_:
        say(note)
    if "baselines" in estimator.metrics_:
        metrics, levels = estimator.metrics_["valid"], estimator.quantiles
        wanted = {"coverage_wanted": levels[-1] - levels[0]} if "coverage" in metrics else {}
        compared = _compared({**metrics, **wanted, "baselines": estimator.metrics_["baselines"]})
        show_table("On the validation part", *compared, stderr=True)


def _refuse(what: str, options: FitOptions) -> None:
    texts = ("tokens", "vocab_size", "embedding_size", "pooling", "token_dropout", "bidirectional")
    if any(getattr(options, name) is not None for name in texts):
        raise UsageError(f"{what} are not for forecast")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    return () if text.strip().lower() == "none" else parse_list(option, text, float)


def _labelled(
    path: Path,
    columns: Columns,
    options: FileOptions,
    reading: TimeReading,
    categories: Mapping[str, Sequence[str]] | None,
    *,
    cache: Path | None = None,
    frequency: Any = None,
    fill_gaps: bool,
) -> Labelled:
    from recurra.data.columns.categories import with_categories
    from recurra.data.columns.panel_table import panel_of_table

    names, measured = columns.names, (*columns.target, *columns.features, *columns.known)
    file, empty = read_numbers(path, names, len(names) - len(measured), options, cache).without_empty_rows()
    for note in empty:
        say(f"{path.name}: {note}")
    table, columns, kinds, said = with_categories(file, columns, categories)
    for note in said:
        say(f"{path.name}: {note}")
    panel = panel_of_table(table, columns, file.where, frequency=frequency, fill_gaps=fill_gaps, reading=reading)
    panel = dataclasses.replace(panel, categories=kinds)
    if not columns.times:
        say(f"{path.name}: without --time, the rows are the steps of a series in the order of the file")
    for note in panel.notes:
        say(f"{path.name}: {note}")
    return Labelled((panel,), None, {"categories": kinds} if kinds else {})


def _reading(options: TimeOptions) -> TimeReading:
    from recurra.data.columns.timestamps import TimeReading

    return TimeReading.of(options.time_format, options.day_first, options.month_first)


def _read(estimator: Any, path: Path, options: PredictOptions, columns: Columns | None = None) -> Panel:
    from recurra.data.columns.categories import without_categories

    learnt = estimator.preparation_
    categories = learnt.categories or estimator.provenance_.categories or {}  # early models have the latter only
    chosen, frequency = without_categories(columns or learnt.columns, categories), learnt.frequency
    reading = _reading(options).after(learnt.spelling)
    found = _labelled(path, chosen, options, reading, categories, frequency=frequency, fill_gaps=estimator.fill_gaps)
    return found.arguments[0]


def read(estimator: Any, path: Path, options: PredictOptions) -> Labelled:
    """Reads a file with the columns of the model."""
    return Labelled((_read(estimator, path, options), None, None, options.part), None, {})


def show(title: str, metrics: dict[str, Any]) -> None:
    """Shows the errors of the model and of the baselines."""
    part = metrics["part"] + " part" + (", which chose the epoch" if metrics["part"] == "validation" else "")
    say(f"{metrics['n']:,} windows of the {part}; mse and mae on values scaled by the training part")
    show_table(title, *_compared(metrics))


def _compared(metrics: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Returns names of columns, and a row for each metric: the model, then the baselines."""
    from recurra._util.messages import readable

    baselines = metrics["baselines"]
    rows = []
    for name in ("mse", "mae", "mse_units", "mae_units"):
        values = [metrics[name], *(baseline[name] for baseline in baselines.values())]
        rows.append([name.replace("_", " in own "), *map(readable, values)])
    if "coverage" in metrics:
        wanted = f"coverage of the {metrics['coverage_wanted']:.0%} band"
        rows.append([wanted, f"{metrics['coverage']:.1%}", *[""] * len(baselines)])
    return ["metric", "this model", *baselines], rows


def predict(estimator: Any, source: str, options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Yields a row for each step after the end of each series."""
    service = estimator.service()
    ((panel,),) = inputs(estimator, source, options)
    (found,) = estimator.forecast_panels([panel], options.horizon)
    if options.plot is not None:
        from recurra.tasks.forecast.result import plot_forecasts

        plot_forecasts(found, estimator.preparation_.columns, options.plot)
        say(f"picture written to {options.plot}")
    return iter(service.rows(service.answer(found)))


def chunks(estimator: Any, source: str, options: PredictOptions) -> Iterator[tuple[Panel, list[Any] | None]]:
    """Yields all series of a file, and their ids."""
    ((panel,),) = inputs(estimator, source, options)
    yield panel, None if panel.columns.id is None else [series.id for series in panel.series]


def inputs(estimator: Any, source: str, options: PredictOptions) -> Iterator[tuple[Panel]]:
    """Yields all series of a file at once, with the known columns of the future."""
    from recurra.data.columns.panel import with_future

    if source == "-":
        raise UsageError("a forecaster takes a file: standard input is for texts")
    panel = _read(estimator, Path(source), options)
    if options.future is not None:
        columns = dataclasses.replace(estimator.preparation_.columns, target=(), features=())
        panel = with_future(panel, _read(estimator, options.future, options, columns))
    yield (panel,)
