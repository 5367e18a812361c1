"""Options that several commands share, each declared once."""

# no `from __future__ import annotations`: typer needs the annotations themselves

import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.cells.registry import names
from recurra.errors import UsageError
from recurra.tasks.params import MAX_BEAMS, MAX_TOP, Parameters, Shared, params_of

from .command import MAX_COUNT
from .console import say
from .values.completion import completing_parameter
from .values.config import apply_config

CELLS = ", ".join(names(memoryless=False))
"""The cells with memory, for help texts."""


def _option(panel: str, *names: str, text: str, **extra: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **extra)


_data = functools.partial(_option, "Data")
_training = functools.partial(_option, "Training")
_run = functools.partial(_option, "Run")


def parse_list(option: str, text: str, kind: type[int] | type[float]) -> tuple[Any, ...]:
    """Parses numbers that are separated by commas.

    Raises:
        UsageError: a part is missing, no number, or not finite.
    """
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(math.isfinite(number) and abs(number) <= MAX_COUNT for number in found):
        what = "whole numbers" if kind is int else "numbers"
        raise UsageError(f"{option} takes {what} with commas between, not {text!r:.80}")
    return found


@dataclass(frozen=True)
class FileOptions:
    """Options for reading tables."""

    encoding: Annotated[str | None, _data("--encoding", text="Text encoding; detected by default.")] = None
    delimiter: Annotated[str | None, _data("--delimiter", text="Column delimiter; detected by default.")] = None
    header: Annotated[
        bool | None,
        _data("--header/--no-header", text="Whether the first row has the names of the columns; detected by default."),
    ] = None
    skip_bad_rows: Annotated[
        bool, _data("--skip-bad-rows", text="Skip rows with a wrong number of columns and report their number.")
    ] = False
    decimal: Annotated[
        str | None, _data("--decimal", text="Decimal mark of numbers, a point or a comma; detected by default.")
    ] = None

    def how(self) -> Any:
        """Returns the same options as `recurra.data.readers.tables.ReadOptions`."""
        from recurra.data.readers.tables import ReadOptions

        return ReadOptions(self.encoding, self.delimiter, self.header, self.skip_bad_rows, self.decimal)


@dataclass(frozen=True)
class TimeOptions:
    """Time formats, for tasks with a column of times."""

    time_format: Annotated[
        str | None,
        _data("--time-format", text="Time format: %d.%m.%Y %H:%M, unix, unix-ms, unix-us or number."),
    ] = None
    day_first: Annotated[bool, _data("--day-first", text="Times: 1/2/2024 is the first of February.")] = False
    month_first: Annotated[bool, _data("--month-first", text="Times: 1/2/2024 is the second of January.")] = False


@dataclass(frozen=True)
class LongTableOptions(TimeOptions):
    """Columns of a table with one row per step, for training."""

    id: Annotated[str | None, _data("--id", text="Long tables: column of ids; rows of one id are one sequence.")] = None
    time: Annotated[
        str | None,
        _data("--time", text="Long tables: column to sort the rows of an id by, or its parts Date,Clock."),
    ] = None
    features: Annotated[
        str | None, _data("--features", text="Columns of numbers and categories, separated by commas.")
    ] = None
    elapsed: Annotated[
        bool,
        _data("--elapsed", text="Long tables: add the time since the step before as a feature, for irregular times."),
    ] = False


@dataclass(frozen=True)
class PredictOptions(FileOptions, TimeOptions):
    """Options of `recurra evaluate` and `recurra predict`. `OPTIONS` of a task lists those that fit its models."""

    input: Annotated[
        str | None, _data("--input", text="Column of sequences; by default that of the training data.")
    ] = None
    target: Annotated[
        str | None, _data("--target", text="Column of targets; by default that of the training data.")
    ] = None
    condition: Annotated[
        str | None,
        _data("--condition", text="Language models: column of labels; with standard input, one label for all lines."),
    ] = None
    top: Annotated[
        int,
        _data("--top", text="Language models, blank fillers: number of most probable tokens.", min=1, max=MAX_TOP),
    ] = 5
    proba: Annotated[bool, _data("--proba", text="Add the probabilities of all classes, or of each tag.")] = False
    coverage: Annotated[
        float | None,
        _data(
            "--coverage",
            text="Classifiers, regressors: add sets of classes, or intervals, that hold the true answer with this "
            "probability, such as 0.9.",
            metavar="SHARE",
        ),
    ] = None
    source: Annotated[
        str | None, _data("--source", text="Translators: column of source texts; by default that of the training data.")
    ] = None
    target_file: Annotated[
        Path | None, _data("--target-file", text="Translators: file whose lines translate those of DATA.")
    ] = None
    n_best: Annotated[
        int | None,
        _data("--n-best", text="Translators: number of translations of each text.", min=1, max=MAX_BEAMS),
    ] = None
    bleu_tokens: Annotated[
        str | None, _data("--bleu-tokens", text="Translators: tokens of BLEU: 13a, char, intl, ko-mecab, …")
    ] = None
    choices: Annotated[
        str | None, _data("--choices", text="Blank fillers: candidates to rank, such as 'more,less'.")
    ] = None
    marks: Annotated[bool, _data("--marks", text="Blank fillers: a blank may be a punctuation mark.")] = False
    beam: Annotated[
        int | None,
        _data(
            "--beam", text="Translators, transcribers: hypotheses of the search; 1 is fastest.", min=1, max=MAX_BEAMS
        ),
    ] = None
    length_bonus: Annotated[
        float | None,
        _data("--length-bonus", text="Transcribers: log-probability that the beam search adds for each token."),
    ] = None
    timestamps: Annotated[bool, _data("--timestamps", text="Transcribers: add the times of each token.")] = False
    horizon: Annotated[
        int | None, _data("--horizon", text="Forecasters: steps to predict; by default those of the training.", min=1)
    ] = None
    future: Annotated[
        Path | None, _data("--future", text="Forecasters: file with the known columns of the future.")
    ] = None
    plot: Annotated[
        Path | None,
        _data(
            "--plot",
            text="Plot to write (.svg, .png, .pdf): forecasts, the attention of a translator, or in evaluate the "
            "confusion matrix and the calibration of a classifier.",
        ),
    ] = None
    part: Annotated[
        str | None,
        _data(
            "--part",
            text="Forecasters: test, validation, training or all; by default the data that training has not seen.",
        ),
    ] = None
    id: Annotated[
        str | None, _data("--id", text="Long tables: column of ids; by default that of the training data.")
    ] = None
    time: Annotated[
        str | None,
        _data(
            "--time",
            text="Long tables: column of times, or its parts Date,Clock; by default that of the training data.",
        ),
    ] = None
    features: Annotated[
        str | None,
        _data(
            "--features",
            text="Long tables: columns of numbers, separated by commas; by default those of the training data.",
        ),
    ] = None


@dataclass(frozen=True)
class WorkerOptions:
    """Options of commands that several processes can share."""

    workers: Annotated[
        str | None,
        _run("--workers", text="Processes that work together: N, or MIN:MAX. It needs recurra[cluster].", metavar="N"),
    ] = None
    cluster: Annotated[
        str | None, _run("--cluster", text="Address of a Ray cluster, or local for this machine.", metavar="ADDRESS")
    ] = None
    threads_per_worker: Annotated[
        int | None,
        _run("--threads-per-worker", text="Threads of each process; by default the cores are divided.", min=1),
    ] = None

    def processes(self) -> Any:
        """Returns the options as `recurra.training.workers.options.Workers`; None for this process alone.

        Raises:
            UsageError: an option needs `--workers`, or the number of processes is not valid.
        """
        from recurra.training.workers.options import Workers

        if self.workers is None:
            for name in ("cluster", "threads_per_worker"):
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name.replace('_', '-')} needs --workers")
            return None
        return Workers.of(self.workers, self.cluster, self.threads_per_worker)


@dataclass(frozen=True)
class ConfigOptions:
    """The option of commands that read options from a file."""

    config: Annotated[
        Path | None,
        _run(
            "--config",
            text="TOML file of options; sections: [fit.tag].",
            is_eager=True,
            callback=apply_config,
        ),
    ] = None


@dataclass(frozen=True)
class SharedPredictOptions(ConfigOptions, WorkerOptions, PredictOptions):
    """Options of commands that several processes can share, with a model on data from files."""


@dataclass(frozen=True)
class EvaluateOptions(SharedPredictOptions):
    """Options of `recurra evaluate`."""

    by: Annotated[
        str | None, _data("--by", text="Classifiers, regressors: column of groups, each with its own metrics.")
    ] = None
    dynamic: Annotated[
        bool, _data("--dynamic", text="Language models: also measure a copy that learns from the text as it reads it.")
    ] = False


@dataclass(frozen=True)
class PartOptions(PredictOptions):
    """Options of a process that reads a part of the data.

    Attributes:
        by: see `EvaluateOptions`.
        reader: yields the rows of some columns of a table, see `recurra.data.pieces.partitions.Partitions.files`; None
            if the data are those of the file that a function is given.
    """

    by: str | None = None
    reader: Callable[[Sequence[str]], Iterator[Any]] | None = None


def _warn_watch(value: bool) -> bool:
    if value:
        say("warning: --watch is deprecated; use --health-checks")
    return value


def options_of(estimator: type) -> Any:
    """Makes a dataclass of the options that the parameters of an estimator declare.

    Args:
        estimator: dataclass whose fields are made by `recurra.tasks.params.param`.

    Returns:
        The dataclass. A value of None leaves the default of the estimator.
    """
    kinds = {field.name: _kind(field.type) for field in dataclasses.fields(estimator)}
    made = []
    for name, spec in params_of(estimator).items():
        if spec.panel is not None:
            limits = {"min": spec.at_least, "max": spec.at_most} if kinds[name] is int else {}
            option = _option(
                spec.panel,
                spec.option or f"--{name.replace('_', '-')}",
                text=spec.help,
                autocompletion=completing_parameter(name),
                **limits,
            )
            made.append((name, Annotated[kinds[name] | None, option], dataclasses.field(default=None)))
    return dataclasses.make_dataclass("ParameterOptions", made, frozen=True)


def _kind(hint: Any) -> Any:
    """The type of an option for a parameter: the first type of its hint."""
    first = (hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))).partition(" |")[0]
    return {"int": int, "float": float, "bool": bool}.get(first, str)


class _Declared(Shared, Parameters):
    """All parameters with an option of every task."""


_ParameterOptions: Any = options_of(dataclass(eq=False, repr=False)(_Declared))


@dataclass(frozen=True)
class Network(_ParameterOptions):
    """Parameters of an estimator. None keeps the default of the estimator."""

    old_watch: Annotated[bool, _training("--watch", text="", hidden=True, callback=_warn_watch)] = False

    def params(self) -> dict[str, Any]:
        """Returns the parameters that were given."""
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(Network)}
        if given.pop("old_watch"):
            given["health_checks"] = True
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class RunOptions(Network, FileOptions):
    """Options of a training run in this process."""

    valid: Annotated[
        Path | None, _data("--valid", text="File that selects the best epoch; by default usually a tenth of TRAIN.")
    ] = None
    out: Annotated[Path, _run("--out", text="Model folder to write.")] = Path("model")
    resume: Annotated[bool, _run("--resume", text="Continue the unfinished run of the same command.")] = False
    overwrite: Annotated[bool, _run("--overwrite", text="Replace the model in OUT, and discard an unfinished run.")] = (
        False
    )
    checkpoint_minutes: Annotated[
        float, _run("--checkpoint-minutes", text="Longest time between two checkpoints, in minutes.", min=0)
    ] = 10.0


@dataclass(frozen=True)
class FitOptions(ConfigOptions, WorkerOptions, RunOptions):
    """Options of every `recurra fit` command."""

    logger: Annotated[
        list[str] | None,
        _run(
            "--logger",
            text="Log metrics: tensorboard, mlflow, wandb or csv, or NAME=PLACE with a folder or the URL of an MLflow "
            "server; by default nowhere. May be repeated. It needs recurra[loggers].",
            metavar="NAME",
        ),
    ] = None

    def params(self) -> dict[str, Any]:
        """Returns the parameters that were given."""
        return super().params() | ({"logger": list(self.logger)} if self.logger else {})


def with_options(options: type, *, without: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the fields of a dataclass to the options of a command. Its parameter `options` receives an instance.

    Args:
        options: the dataclass.
        without: fields that do not apply to this command. They keep their defaults.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        hints = typing.get_type_hints(options, include_extras=True)
        shared = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
            for f in dataclasses.fields(options)
            if f.name not in without
        ]
        signature = inspect.signature(command, eval_str=True)
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values() if p.name != "options"]

        @functools.wraps(command)
        def wrapper(**kwargs: Any) -> Any:
            given = {p.name: kwargs.pop(p.name) for p in shared}
            return command(**kwargs, options=options(**given))

        needed = [p for p in own if p.default is p.empty]
        parameters = [*needed, *shared, *(p for p in own if p not in needed)]  # the order of `--help`
        wrapper.declared = options, without  # type: ignore[attr-defined]  # for `recurra tune`
        wrapper.shared = tuple(p.name for p in shared)  # type: ignore[attr-defined]  # for the help
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate
