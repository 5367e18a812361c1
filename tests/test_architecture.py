"""The house rules that a machine can check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_imports_go_down_only():
    lint = pytest.importorskip("importlinter.cli")
    assert lint.lint_imports(config_filename=str(ROOT / "pyproject.toml")) == 0


def test_help_imports_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-m", "recurra", "--help"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if "|" in line}
    assert "recurra.cli.app" in modules
    heavy = {"torch", "numpy", "pyarrow", "sklearn", "pytorch_lightning", "matplotlib", "pandas", "tokenizers"}
    assert not heavy & modules


def test_public_names_are_all_there():
    import recurra

    assert {name for name in recurra.__all__ if not hasattr(recurra, name)} == set()


def test_every_module_says_what_it_is_for():
    silent = [p for p in (ROOT / "src").rglob("*.py") if not p.read_text(encoding="utf-8").startswith('"""')]
    assert silent == []
