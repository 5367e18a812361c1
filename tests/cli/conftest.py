"""Fixtures for tests of the command line."""

from __future__ import annotations

import sys

import pytest

from recurra import cli


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
