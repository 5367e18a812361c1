"""Public names and their parameters change only on purpose: `public_names.txt` lists them.

`RECURRA_UPDATE=1 pytest tests/test_public_names.py` writes the file anew. A name that leaves `__all__` must still be
found, as an alias; it is then listed as deprecated. To remove a name for good, delete its lines from the file first.
"""

from __future__ import annotations

import inspect
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pinned

FILE = Path(__file__).with_name("public_names.txt")
MODULES = ("recurra", *(f"recurra.{name}" for name in ("cells", "inspect", "lab", "nn", "ops", "serve", "tasks")))
DEPRECATED = "  # deprecated"


def test_public_names_and_parameters_are_those_of_the_file():
    current = {f"{m}.{name}": getattr(import_module(m), name) for m in MODULES for name in import_module(m).__all__}
    pinned.check(FILE, "".join(f"{line}\n" for line in _lines(current, _listed())))


def test_a_changed_parameter_is_noticed():
    def first(a, *, b=1): ...

    def second(a, *, b=2): ...

    assert _lines({"x.f": first}, set()) == ["x.f", "    a", "    *", "    b=1"]
    assert _lines({"x.f": first}, set()) != _lines({"x.f": second}, set())


def _listed() -> set[str]:
    known = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    return {line.removesuffix(DEPRECATED).partition(" = ")[0] for line in known if line and line[0] != " "}


def _lines(current: dict[str, Any], listed: set[str]) -> list[str]:
    """All names in order, each followed by its parameters."""
    lines, first = [], {}
    for name in sorted(current.keys() | listed, key=lambda name: (name.count("."), name)):
        if name not in current:
            _find_alias(name)
            lines.append(name + DEPRECATED)
            continue
        found = current[name]
        known = first.setdefault(id(found), name) if callable(found) else name
        lines += [name, *_members(found)] if known == name else [f"{name} = {known}"]
    return lines


def _find_alias(name: str) -> None:
    module, _, own = name.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert hasattr(import_module(module), own), f"{name} was public and is gone; keep it as an alias"


def _members(found: Any) -> list[str]:
    """Parameters of a function; those of a class, then its methods with theirs."""
    if not isinstance(found, type) and not inspect.isroutine(found):
        return []  # modules, constants, names of types
    lines = [f"    {line}" for line in _parameters(found)]
    for name in dir(found) if isinstance(found, type) else ():
        home = next((c for c in found.__mro__ if name in vars(c)), object)
        member = inspect.getattr_static(found, name)
        if name[0] == "_" or not home.__module__.startswith("recurra"):
            continue
        if isinstance(member, property):
            lines.append(f"    .{name}")
        elif inspect.isfunction(member) or isinstance(member, classmethod | staticmethod):
            lines += [f"    .{name}", *(f"        {line}" for line in _parameters(getattr(found, name)))]
    return lines


def _parameters(found: Any) -> list[str]:
    lines, keyword_only = [], False
    for parameter in inspect.signature(found).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("*")
        if parameter.name == "self":
            continue
        default = "" if parameter.default is parameter.empty else f"={_shown(parameter.default)}"
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        keyword_only = keyword_only or stars == "*"
        lines.append(f"{stars}{parameter.name}{default}")
    return lines


def _shown(default: Any) -> str:
    return getattr(default, "__qualname__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(default))
