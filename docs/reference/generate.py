"""Generates one reference page per public name; mkdocs runs it as a hook (`hooks:` in mkdocs.yml)."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

PACKAGES = (
    "recurra",
    "recurra.nn",
    "recurra.ops",
    "recurra.inspect",
    "recurra.lab",
    "recurra.serve",
    "recurra.cells",
    "recurra.tasks",
)


def public_names() -> dict[str, dict[str, Any]]:
    """Returns the public objects of each package by name. A name has one page, in the first package that has it."""
    found, seen = {}, set()
    for package in PACKAGES:
        module = import_module(package)
        names = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
        names = {name: value for name, value in names.items() if not inspect.ismodule(value) and name not in seen}
        seen |= names.keys()
        found[package] = names
    return found


def has_example(value: Any) -> bool:
    """Returns whether the docstring of an object has an example."""
    return ">>> " in (inspect.getdoc(value) or "")


def examples_of(name: str, names: dict[str, dict[str, Any]]) -> list[str]:
    """Returns the public objects whose examples show a name: they use, take or return it, or a result that has it."""
    users = _users(name, names)
    found = [user for user, value in users.items() if has_example(value)]
    if found:
        return found
    results = [user.rpartition(".")[2] for user, value in users.items() if inspect.isclass(value)]
    return [user for result in results for user, value in _users(result, names).items() if has_example(value)]


def _users(name: str, names: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The other public objects whose signature or docstring names this one."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    return {
        f"{package}.{other}": value
        for package, members in names.items()
        for other, value in members.items()
        if other != name and word.search(_text(value))
    }


def _address(package: str, name: str, value: Any) -> str:
    """Where an object is defined: `recurra.inspect.health` would be read as the module, not as the function."""
    module = getattr(value, "__module__", None) if callable(value) else None
    return f"{module}.{value.__qualname__}" if module and module.startswith("recurra.") else f"{package}.{name}"


def _text(value: Any) -> str:
    """The docstring of an object and its signature, which names what it takes and returns."""
    if not callable(value):
        return ""
    try:
        return f"{inspect.signature(value)} {inspect.getdoc(value)}"
    except (TypeError, ValueError):
        return inspect.getdoc(value) or ""


def pages() -> dict[str, str]:
    """Returns the Markdown text of each page by its address below `docs`."""
    names = public_names()
    found = {}
    lines = ["# Reference", "", "All public names. The examples run in the tests.", ""]
    for package, members in names.items():
        lines += [f"## {package}", "", (inspect.getdoc(import_module(package)) or "").splitlines()[0], ""]
        for name, value in members.items():
            text = f"# {package}.{name}\n\n::: {_address(package, name, value)}\n"
            if not has_example(value) and (others := examples_of(name, names)):
                text += "\nExamples: " + ", ".join(f"[`{o}`]({o}.md)" for o in others) + "\n"
            found[f"reference/{package}.{name}.md"] = text
            lines.append(f"- [`{name}`]({package}.{name}.md)")
        lines.append("")
    return {"reference/index.md": "\n".join(lines), **found}


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages to the site."""
    from mkdocs.structure.files import File

    for address, text in pages().items():
        files.append(File.generated(config, address, content=text))
    return files
