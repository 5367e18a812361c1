"""Commands, options and their defaults change only on purpose: `help.txt` lists them.

`RECURRA_UPDATE=1 pytest tests/cli/test_help.py` writes the file anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import pinned
from recurra.cli.app import app
from recurra.cli.support.command import kind_of


def test_options_and_defaults_are_those_of_the_file():
    lines = _lines("recurra", typer.main.get_command(app))
    pinned.check(Path(__file__).with_name("help.txt"), "".join(f"{line}\n" for line in lines))


def test_help_of_every_command_shows_its_options(recurra):
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for words, found in [([name], command), *(([name, sub], c) for sub, c in _commands(command).items())]:
            code, out, _ = recurra(*words, "--help-all" if getattr(found, "shared", ()) else "--help")
            assert code == 0
            assert [p.opts[0] for p in found.params if _is_shown(p) and p.opts[0] not in out] == []


def _lines(name: str, command: Any) -> Iterator[str]:
    yield name
    for parameter in command.params:
        words = " / ".join([*parameter.opts, *parameter.secondary_opts])
        marks = [" required"] * parameter.required + [" hidden"] * getattr(parameter, "hidden", False)
        default = "" if parameter.default is None else f" = {parameter.default}"
        yield f"    {words} {kind_of(parameter).__name__}{default}{''.join(marks)}"
    for own, inner in _commands(command).items():
        yield from _lines(f"{name} {own}", inner)


def _commands(command: Any) -> dict[str, Any]:
    return getattr(command, "commands", {})


def _is_shown(parameter: Any) -> bool:
    return parameter.opts[0].startswith("-") and not getattr(parameter, "hidden", False)
