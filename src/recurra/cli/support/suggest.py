"""Suggests similar commands and options for unknown ones."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from recurra._util.similar import similar_names

from .help.localized import Localized, localized_errors


class SuggestingGroup(Localized, TyperGroup):
    """A group of commands with the same rule for suggestions as columns and files.

    typer suggests `--cell, --help, --layers` for `--lr`: it counts the dashes as characters in common.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.suggest_commands = False

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command of a name; the error for an unknown name suggests a similar one."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            if similar := similar_names(args[0], self.list_commands(ctx)):
                error.message = f"{error.message} Did you mean {similar[0]!r}?"  # type: ignore[attr-defined]
            raise

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Reads the words of the command line up to the name of a command."""
        with localized_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; the error for an unknown option suggests similar ones."""
        with localized_errors():
            try:
                return super().invoke(ctx)
            except Exception as error:
                if possible := getattr(error, "possibilities", None):
                    error.possibilities = similar_names(error.option_name, possible)  # type: ignore[attr-defined]
                raise
