"""The reference of the documentation has every public name."""

from __future__ import annotations

import importlib.util
import inspect
import re
from importlib import import_module
from inspect import ismodule
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "reference" / "generate.py")
assert spec is not None
assert spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def test_every_public_name_has_a_page():
    pages = generate.pages()
    documented = {address.removeprefix("reference/recurra.").removesuffix(".md") for address in pages}
    short = {name.rpartition(".")[2] for name in documented}
    for package in generate.PACKAGES:
        module = import_module(package)
        names = {name for name in module.__all__ if not ismodule(getattr(module, name))}
        assert names - short == set(), package
    index = pages["reference/index.md"]
    assert all(address == "reference/index.md" or f"({Path(address).name})" in index for address in pages)


@pytest.mark.parametrize("package", generate.PACKAGES)
def test_every_public_name_has_an_example(package):
    """Functions and classes have their own; a constant or a type alias is in the example of another name."""
    names = generate.public_names()[package]
    own = {name for name, value in names.items() if inspect.isclass(value) or inspect.isroutine(value)}
    assert [name for name in own if not generate.has_example(names[name])] == []
    lines = [line.strip() for value in names.values() for line in (inspect.getdoc(value) or "").splitlines()]
    shown = "\n".join(line for line in lines if line.startswith((">>> ", "... ")))
    assert [name for name in names.keys() - own if not re.search(rf"\b{name}\b", shown)] == []


def test_pages_point_to_the_objects_and_not_to_modules_of_the_same_name():
    pages = generate.pages()
    assert "::: recurra.inspect.health.health\n" in pages["reference/recurra.inspect.health.md"]
    assert "::: recurra.lab.vanishing.vanishing\n" in pages["reference/recurra.lab.vanishing.md"]


def test_constants_point_to_the_examples_that_show_them():
    assert "](recurra.inspect.Attribution.md)" in generate.pages()["reference/recurra.inspect.METHODS.md"]


HOW_TO = ("cells", "tasks", "engines", "measures", "options")


def test_how_tos_include_code_of_tests():
    """The site includes the code itself, so that it cannot differ from the test; the parts must be there."""
    for page in HOW_TO:
        text = (ROOT / "docs" / "contributing" / f"{page}.md").read_text(encoding="utf-8")
        included = re.findall(r'^--8<-- "([^":]+)(:?)(\w*)"$', text, re.MULTILINE)
        assert included, page
        for path, _, part in included:
            code = (ROOT / path).read_text(encoding="utf-8")
            assert path.startswith("tests/"), page
            if part:
                found = re.search(rf"# --8<-- \[start:{part}\]\n(.+?)# --8<-- \[end:{part}\]", code, re.DOTALL)
                assert found is not None, (page, path, part)
                compile(found[1], path, "exec")
