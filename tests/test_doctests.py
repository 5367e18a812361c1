"""Every example in a docstring does what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCES).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted((SOURCES / "recurra").rglob("*.py"))
}


def examples(slow: bool) -> list[str]:
    """Modules with examples; those that train a model are slow."""
    return [name for name, text in MODULES.items() if ">>> " in text and (".fit(" in text) == slow]


def run(name: str) -> None:
    found = doctest.testmod(import_module(name.removesuffix(".__init__")))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", examples(slow=False))
def test_examples(name):
    run(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", examples(slow=True))
def test_examples_that_train(name):
    run(name)
