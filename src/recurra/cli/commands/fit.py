"""`recurra fit`: from a file to a trained model folder, one subcommand for each task."""

from __future__ import annotations

from typing import Any

import typer

from recurra.cli.support.command import App
from recurra.cli.support.suggest import SuggestingGroup
from recurra.cli.tasks import task_module
from recurra.errors import UsageError
from recurra.tasks.registry import BUILT_IN, find, tasks


class Tasks(SuggestingGroup):
    """The commands of this package, and those of the registered tasks from outside the package."""

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
        outside.command(cmd_name)(task_module(cmd_name).fit)
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


for task in BUILT_IN:
    app.command(task.name)(task_module(task.name).fit)
