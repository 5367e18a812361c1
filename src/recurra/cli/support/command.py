"""Class of every command, with the checks that apply to the values of all options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import typer

from .help.brief import BriefHelp, TaskCommand
from .outputs import check_outputs

MAX_COUNT = 2**31 - 1
"""Largest whole number of an option that declares no limit."""

MAY_BE_EMPTY = ("--prompt",)


class Command(BriefHelp):
    """A command that refuses empty values, numbers that are not finite or beyond any use, and destructive outputs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses and checks the words of a command line.

        Raises:
            typer.BadParameter: a value is empty, not finite or too large.
        """
        _refuse_empty(args)
        dashed = next((word for word in args if word.startswith("-") and any(map(str.isspace, word))), None)
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter:
            raise
        except Exception as error:
            if dashed is not None and "No such option" in str(error):
                raise typer.BadParameter(f"write -- before a text that begins with a dash: -- {dashed!r:.80}") from None
            raise
        for parameter in self.params:
            check_number(parameter, ctx.params.get(parameter.name or ""))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises:
            UsageError: an output would replace an input or a model.
        """
        check_outputs(ctx.params)
        return super().invoke(ctx)


class CommandOfTask(Command, TaskCommand):
    """The same for a command with the name of a task."""


class App(typer.Typer):
    """A group whose commands are of the class `Command`."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Registers a command."""
        return super().command(name, **{"cls": Command, **options})


def kind_of(parameter: Any) -> type:
    """Returns the Python type of an option's values. Versions of typer store it in different places."""
    if hasattr(parameter, "type_descriptor"):
        return parameter.type_descriptor.annotation
    return {"integer": int, "float": float, "boolean": bool}.get(parameter.type.name.partition(" ")[0], str)


def check_number(parameter: Any, value: Any) -> None:
    """Refuses a number that no option accepts.

    Raises:
        typer.BadParameter: the value is not finite, or too large.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number", param=parameter)
    declared = getattr(parameter, "max", None) or getattr(getattr(parameter, "type", None), "max", None)
    if type(value) is int and abs(value) > (declared or MAX_COUNT):
        raise typer.BadParameter(f"{value} is too large: at most {declared or MAX_COUNT}", param=parameter)


def _refuse_empty(words: Sequence[str]) -> None:
    for option, word in pairwise(["", *words]):
        if option == "--":
            return
        if word.startswith("--") and word.endswith("="):
            option, word = word[:-1], ""
        if not word and option.startswith("--") and option not in MAY_BE_EMPTY:
            raise typer.BadParameter(f"{option} is empty")
