"""Fixtures for tests of the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import typer.main

from recurra import cli
from recurra.training import callbacks
from small_reviews import QUICK, write_reviews


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


@pytest.fixture
def killed(recurra, monkeypatch):
    """Runs a command that is killed after its first checkpoint."""

    class KilledError(BaseException):
        pass

    def run(*arguments):
        save = callbacks.SaveRun.save

        def dying(self, trainer):
            save(self, trainer)
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(callbacks.SaveRun, "save", dying)
            with pytest.raises(KilledError):
                recurra(*arguments)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    reviews = write_reviews(folder / "reviews.csv")
    command = ["fit", "classify", reviews, "--input", "text", "--target", "label", "--out", folder / "m", *QUICK]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", ["recurra", *map(str, command)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 0, err.getvalue()
    assert out.getvalue() == ""
    assert "model saved to" in err.getvalue()
    assert sorted(p.name for p in folder.iterdir()) == ["m", "reviews.csv"]
    return folder / "m"
