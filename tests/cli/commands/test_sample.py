"""`recurra sample`: every embedded data set can be had, with its licence."""

from __future__ import annotations

from importlib.resources import files

import pytest
from typer.testing import CliRunner

from recurra.cli.app import app
from recurra.errors import UsageError

NAMES = sorted(e.name for e in (files("recurra.data") / "samples").iterdir() if e.is_dir() and e.name[0] != "_")


@pytest.mark.parametrize("name", NAMES)
def test_is_copied_with_its_licence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["sample", name]).exit_code == 0
    found = {path.name for path in (tmp_path / f"{name}-sample").iterdir()}
    assert {"LICENSE", "README.md"} < found
    size = sum(path.stat().st_size for path in (tmp_path / f"{name}-sample").rglob("*"))
    assert size < 2_000_000


def test_are_listed():
    done = CliRunner().invoke(app, ["sample"])
    assert done.exit_code == 0
    assert all(name in done.stdout for name in NAMES)


def test_an_unknown_name_lists_the_known_ones():
    error = CliRunner().invoke(app, ["sample", "mnist"]).exception
    assert isinstance(error, UsageError)
    assert "nsmc" in str(error)
