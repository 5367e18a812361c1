"""`recurra tune`: its options beside those of `recurra fit`, and its steps."""

# no `from __future__ import annotations`: typer needs the annotations themselves

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra._util.atomic import tidy
from recurra.errors import UsageError

from .console import say, show_json, show_table
from .files import Labelled
from .options import FitOptions

PANEL = "Search"
STARTED = time.monotonic()
"""About the time at which the command started; the time limit counts from here."""
NOT_OF_TRIALS = ("checkpoint_minutes", "threads_per_worker", "logger")
"""Fields of `FitOptions` that a search does not have."""


def _option(*names: str, text: str, **extra: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=PANEL, **extra)


@dataclass(frozen=True)
class TuneOptions(FitOptions):
    """Options of every `recurra tune` command."""

    minutes: Annotated[
        float | None, _option("--minutes", text="Time limit of the command; 10 without --trials.", min=0.01)
    ] = None
    trials: Annotated[
        int | None, _option("--trials", text="Number of trials, those of an earlier run included.", min=1)
    ] = None
    search: Annotated[
        list[str] | None,
        _option(
            "--search",
            text="Values to try: NAME=A,B,C or NAME=LOW..HIGH or NAME=LOW..HIGH:log. The option can be repeated.",
            metavar="NAME=VALUES",
        ),
    ] = None
    valid: Annotated[
        Path | None, _option("--valid", text="File that chooses the options; by default usually a tenth of TRAIN.")
    ] = None
    test: Annotated[
        Path | None, _option("--test", text="File that measures the result; by default usually a tenth of TRAIN.")
    ] = None
    workers: Annotated[  # type: ignore[assignment]  # of `fit` it is a text
        int | None, _option("--workers", text="Trials that run at the same time; by default one for each core.", min=1)
    ] = None
    cluster: Annotated[
        str | None,
        _option("--cluster", text="Run trials on a Ray cluster: its address, or local.", metavar="ADDRESS"),
    ] = None
    resume: Annotated[bool, _option("--resume", text="Continue the search of the same command.")] = False
    overwrite: Annotated[
        bool, _option("--overwrite", text="Replace the model in OUT, and discard an earlier search.")
    ] = False
    json: Annotated[bool, _option("--json", text="One JSON object instead of tables.")] = False


def tune(estimator: Any, train: Path, options: TuneOptions, read: Callable[[Path, Path | None], Labelled]) -> Any:
    """Searches for parameters, saves the best model and returns the estimator.

    Args:
        estimator: untrained, with the parameters that were given.
        train: file of training data.
        options: those of the command.
        read: reads a file into the arguments of the estimator's `fit`.

    Raises:
        UsageError: the model folder or that of the search contains finished work, and the options do not say what to
            do with it.
        typer.Exit: with code 130 after Ctrl-C.
    """
    from recurra.io import Provenance
    from recurra.tasks.tuning import Limits
    from recurra.tasks.tuning import tune as search
    from recurra.tasks.tuning.space import parse_search

    limits = Limits.of(options.minutes, options.trials, options.workers, options.cluster, STARTED)
    space = parse_search(estimator, options.search or ())
    folder = _prepare(options)
    with tempfile.TemporaryDirectory(prefix="recurra-tune-") as cache:
        files = {"train": train, "valid": options.valid, "test": options.test}
        found = {
            name: None if path is None else read(path, Path(cache, name) if _made(cache, name) else None)
            for name, path in files.items()
        }
        data = found["train"]
        assert data is not None  # noqa: S101  (`train` is a file)
        valid, test = (None if one is None else one.arguments for one in (found["valid"], found["test"]))
        try:
            search(estimator, data.arguments, {}, space, (valid, test), limits, (folder, options.resume), say)
        except KeyboardInterrupt:
            say(f"interrupted; the same command with --resume continues the search in {folder}")
            raise typer.Exit(130) from None
    started_from = estimator.provenance_.started_from
    estimator.provenance_ = Provenance(training_file=train.name, started_from=started_from, **data.names)
    estimator.save(options.out)
    _show(estimator.tuning_, options, folder)
    return estimator


def _made(cache: str, name: str) -> bool:
    Path(cache, name).mkdir()
    return True


def _prepare(options: TuneOptions) -> Path:
    """Refuses to replace finished work; returns the folder of the search."""
    from recurra.io import check_target, is_model
    from recurra.tasks.tuning.search import remove_search
    from recurra.tasks.tuning.study import JOURNAL

    out = Path(os.path.realpath(options.out))
    folder = out.with_name(out.name + ".tuning")
    tidy(out.parent)
    check_target(options.out)
    if options.resume and options.overwrite:
        raise UsageError("--resume continues the search, --overwrite discards it: give one of them")
    there = (folder / JOURNAL).exists()
    if there and not (options.resume or options.overwrite):
        raise UsageError(
            f"{folder} contains an earlier search\nadd --resume to continue it, --overwrite to start from the beginning"
        )
    if is_model(out) and not (options.overwrite or (there and options.resume)):
        raise UsageError(
            f"{options.out} contains a finished model\nchoose another --out, or add --overwrite to replace the model"
        )
    if options.resume and not there:
        say(f"there is no search in {folder}; it starts from the beginning")
    if options.overwrite:
        remove_search(folder)
    if folder.exists() and not there and any(folder.iterdir()):
        raise UsageError(f"{folder} contains files that are not of a search; choose another --out")
    return folder


def _show(found: Mapping[str, Any], options: TuneOptions, folder: Path) -> None:
    """Shows the best trials, the test metrics and the sentence on the result."""
    from recurra._util.messages import readable
    from recurra.tasks.tuning.result import PLOT, counts, table

    if options.json:
        show_json(found)
    else:
        show_table("Best trials", *table(found), numbers=False)
        test = found["test"]
        if test is not None:
            names = [name for name, value in test["best"].items() if isinstance(value, float)]
            rows = [[name, readable(test["best"][name]), readable(test["defaults"][name])] for name in names]
            show_table("On the test data", ["metric", "best model", "defaults"], rows)
    say(counts(found))
    say(found["verdict"])
    say(f"model saved to {options.out}; journal and picture ({PLOT}) in {folder}")
