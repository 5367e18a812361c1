"""Class of the commands whose first argument is a model folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from recurra._util.language import translated
from recurra.cli.support.command import Command
from recurra.cli.support.help.brief import RARE
from recurra.cli.tasks import fitting_options, task_module
from recurra.errors import UsageError

from .listing import read_object

OF_ANY_MODEL = ("input", "target", "workers")
"""Shared options that the help shows if the command line names no model."""


class ModelCommand(Command):
    """A command whose help shows the options that fit the model, if the command line names one."""

    def get_help_option(self, ctx: Any) -> Any:
        """Returns the option for help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = translated(
                "Show help; --help-all: all options. After a model folder: the options of the model."
            )
        return option

    def is_left_out(self, name: str, words: Sequence[str]) -> bool:
        """See `BriefHelp.is_left_out`."""
        if name in RARE and name not in OF_ANY_MODEL:
            return True
        return name in self.shared and name not in _fitting(words)


def _fitting(words: Sequence[str]) -> Collection[str]:
    """Returns the shared options that fit the model in the words; without one, those of any model."""
    task = next((task for word in words if not word.startswith("-") and (task := _task_of(word))), "")
    try:
        return fitting_options(task_module(task)) if task else OF_ANY_MODEL
    except UsageError:
        return OF_ANY_MODEL


def _task_of(word: str) -> str | None:
    """Returns the task of a model folder without loading it; None if the word names no model."""
    task = read_object(Path(word, "config.json")).get("task")
    return task if isinstance(task, str) else None
