"""The rules of the architecture that a test can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from recurra.tasks.registry import BUILT_IN

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "recurra"
TREES = {p.relative_to(PACKAGE): ast.parse(p.read_text(encoding="utf-8")) for p in sorted(PACKAGE.rglob("*.py"))}

MOST_MODULES = 13
TASKS = {task.name for task in BUILT_IN}


def module_name(path: Path) -> str:
    """The name under which a file of the package is imported."""
    return ".".join(["recurra", *path.with_suffix("").parts]).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each `from module import name` for modules of recurra, wherever in the file it is written."""
    here = module_name(path).split(".")
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "recurra")
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) - node.level + (path.name == "__init__.py")] if node.level else []
            source = ".".join([*above, *(node.module or "").split(".")]).rstrip(".")
            if source.split(".")[0] == "recurra":
                yield from ((source, alias.name) for alias in node.names)


def package_of(path: Path) -> str:
    """The package of the first level, such as `nn`, or the module itself."""
    return path.parts[0].removesuffix(".py")


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


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


def test_no_import_cycle():
    known = {module_name(path) for path in TREES}
    edges: dict[str, set[str]] = {}
    for path in TREES:
        here = module_name(path)
        found = {f"{source}.{name}" if f"{source}.{name}" in known else source for source, name in imports(path)}
        edges[here] = found - {here}
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_folder_has_few_modules():
    count = Counter(path.parent.as_posix() for path in TREES if path.name != "__init__.py")
    assert {folder: n for folder, n in count.items() if n > MOST_MODULES} == {}


def test_no_package_uses_an_underscore_name_of_another():
    owners: dict[str, set[str]] = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                owners.setdefault(node.name, set()).add(package_of(path))
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                owners.setdefault(getattr(node, "attr", getattr(node, "id", "")), set()).add(package_of(path))
    found = []
    for path, tree in TREES.items():
        here = package_of(path)
        for source, name in imports(path):
            if private(name) and name != "_util" and source.split(".")[1] != here:
                found.append(f"{path}: from {source} import {name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and private(node.attr) and isinstance(node.ctx, ast.Load):
                of = node.value.id if isinstance(node.value, ast.Name) else ""
                defined = owners.get(node.attr, set())
                if of not in ("self", "cls") and defined and here not in defined:
                    found.append(f"{path}:{node.lineno}: {ast.unparse(node)}, defined in {sorted(defined)}")
    assert found == []


def test_one_module_outside_the_native_engine_imports_it():
    """`ops/registry.py`, so that another engine can take its place. `bench` measures the hardware limit in C++."""
    found = set()
    for path in TREES:
        if path.parts[:2] != ("ops", "native") and package_of(path) != "bench":
            found |= {path.as_posix() for parts in imports(path) if "recurra.ops.native" in ".".join(parts)}
    assert found == {"ops/registry.py"}


def test_shared_packages_name_no_task():
    found = []
    for path, tree in TREES.items():
        if package_of(path) not in ("inspect", "training", "io", "nn", "ops"):
            continue
        for node in ast.walk(tree):
            names = [
                getattr(node, field, None) for field in ("id", "attr", "name", "arg", "value") if hasattr(node, field)
            ]
            found += [f"{path}:{node.lineno}: {n}" for n in names if isinstance(n, str) and n in TASKS]
    assert found == []
