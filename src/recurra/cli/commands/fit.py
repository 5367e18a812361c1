"""`recurra fit` and `recurra tune`: from a file to a trained model folder, one subcommand for each task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from recurra.cli.support.command import App, CommandOfTask
from recurra.cli.support.options import with_options
from recurra.cli.support.suggest import SuggestingGroup
from recurra.cli.support.tuning import NOT_OF_TRIALS, TuneOptions
from recurra.cli.tasks import task_module
from recurra.errors import UsageError
from recurra.tasks.registry import BUILT_IN, find, tasks


def tune_command(task: str) -> Callable[..., Any]:
    """Returns the command of a task: that of `recurra fit` with the options of a search."""
    fit = task_module(task).fit
    if not hasattr(fit, "declared"):
        raise UsageError(f"recurra tune does not support {task}: its fit command declares no FitOptions")
    options, without = fit.declared

    def tune(**given: Any) -> None:
        fit.__wrapped__(**given)

    tune.__signature__ = inspect.signature(fit.__wrapped__, eval_str=True)  # type: ignore[attr-defined]
    tune.__doc__ = f"""Search for the options of recurra fit {task} that suit the data, and train the best model.

    The options of recurra fit {task} that are given are not searched. The first trial has the defaults.
    """
    both = dataclass(frozen=True)(type("TaskTuneOptions", (TuneOptions, options), {"__doc__": TuneOptions.__doc__}))
    return with_options(both, without=(*without, *NOT_OF_TRIALS))(tune)


class Tasks(SuggestingGroup):
    """The commands of this package, and those of the registered tasks from outside the package."""

    make = staticmethod(lambda task: task_module(task).fit)
    """Returns the function of the command of a task."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of all tasks."""
        return [task.name for task in tasks()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns the command of a task; None if there is no task with this name."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        try:
            find(cmd_name)
        except UsageError:
            return None
        outside = App(add_completion=False)
        outside.command(cmd_name)(type(self).make(cmd_name))
        return typer.main.get_command(outside)


app = App(cls=Tasks, no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def fit() -> None:
    """Train a model on a file.

    [bold]Examples[/bold]

      recurra fit classify reviews.csv --input text --target label --out my-model
      recurra fit regress essays.parquet --input text --target score --out my-model
      recurra fit generate novel.txt --out my-model
      recurra fit translate pairs.tsv --source english --target korean --out my-model
      recurra fit fill reviews.csv --input text --out my-filler
      recurra fit transcribe recordings.csv --input path --target text --out my-model
      recurra fit forecast load.csv --time date --target load --horizon 24 --out my-model
    """


class TuneTasks(Tasks):
    """The same for searches of parameters."""

    make = staticmethod(tune_command)


tune_app = App(cls=TuneTasks, no_args_is_help=True, rich_markup_mode="rich")


@tune_app.callback()
def tune() -> None:
    """Search for options that suit the data, and train the best model.

    [bold]Examples[/bold]

      recurra tune classify reviews.csv --input text --target label --minutes 30 --out my-model
      recurra tune forecast load.csv --time date --target load --horizon 24 --trials 20 --out my-model
      recurra tune tag train.conllu --search hidden_size=64..256:log --search cell=lstm,gru --out my-model
      recurra tune classify reviews.csv --input text --target label --minutes 30 --out my-model --resume
    """


for task in BUILT_IN:
    app.command(task.name, cls=CommandOfTask)(task_module(task.name).fit)
    tune_app.command(task.name, cls=CommandOfTask)(tune_command(task.name))
