"""Fixtures for tests of the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache

import pytest
import typer.main

from recurra import cli


@pytest.fixture(scope="session", autouse=True)
def _one_tree_of_commands() -> Iterator[None]:
    """Builds the tree of commands once: that takes 40 ms, and each call in this process would do it again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def recurra(monkeypatch, capfd, tmp_path):
    """Runs a command in this process, in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recurra", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capfd.readouterr()

    return run
