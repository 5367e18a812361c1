"""Options from a TOML file, for all commands or in sections for some of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from recurra._util.messages import hint
from recurra.cli.support.command import check_number, kind_of

Section = tuple[str, ...]
"""The words of a command, such as `("fit", "classify")`, or of a group; `()` for the top of the file."""
NOT_IN_FILES = ("help", "help-all", "config")
HIDDEN = "watch"
HEADER = re.compile(r"\s*\[\s*([\w.\s\"'-]+?)\s*\]")
KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*=")


class Entry(NamedTuple):
    """A value in a file."""

    section: Section
    key: str
    value: Any
    where: str

    @property
    def option(self) -> str:
        """The name of the option, without dashes at its beginning."""
        return self.key.replace("_", "-")


def apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """Sets the values of a TOML file as the defaults of a command.

    Values at the top of the file hold for all commands, those in `[fit]` for all tasks, and those in `[fit.classify]`
    for one command. The most special value counts.

    Raises:
        typer.BadParameter: the file cannot be read, or a section, a key or a value is not one of a command.
    """
    if path is None:
        return None
    text, values = _read(path)
    known, command = _options(context.find_root().command), _words(context)
    known[command] = _options_of(context.command)
    entries = list(_entries(values, (), known, path, text))
    has_sections = any(entry.section for entry in entries)
    for entry in entries:
        _check_key(entry, known, command, has_sections)
    found = {}
    for length in range(len(command) + 1):
        for entry in entries:
            if entry.section == command[:length] and entry.option in known[command]:
                parameter = known[command][entry.option]
                found[parameter.name] = _value(entry, parameter)
    context.default_map = {**(context.default_map or {}), **found}
    return path


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Returns the text of a file and its values."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, RecursionError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not valid TOML: {error}") from None


def _words(context: typer.Context) -> Section:
    """Returns the words of a command without the name of the program."""
    words = []
    while context.parent is not None:
        words.insert(0, str(context.info_name))
        context = context.parent  # type: ignore[assignment]
    return tuple(words)


def _options_of(command: Any) -> dict[str, Any]:
    return {option.lstrip("-"): p for p in command.params for option in p.opts if option.startswith("-")}


def _options(root: Any, words: Section = ()) -> dict[Section, dict[str, Any]]:
    """Returns the options of each command that reads files of options."""
    found: dict[Section, dict[str, Any]] = {}
    for name, command in getattr(root, "commands", {}).items():
        options = _options_of(command)
        if "config" in options:
            found[(*words, name)] = options
        found |= _options(command, (*words, name))
    return found


def _entries(table: dict[str, Any], section: Section, known: Any, path: Path, text: str) -> Iterator[Entry]:
    """Yields the values of a table and its sections."""
    for key, value in table.items():
        inner = (*section, key)
        if isinstance(value, dict) and any(words[: len(inner)] == inner for words in known):
            yield from _entries(value, inner, known, path, text)
        else:
            yield Entry(section, key, value, f"{path}{_line(text, section, key, isinstance(value, dict))}")


def _line(text: str, section: Section, key: str, is_table: bool) -> str:
    """Returns the number of the line of a key, or of a header that is no section; `""` if it is not found."""
    at: Section = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            at = tuple(part.strip(" \"'") for part in header[1].split("."))
            if is_table and at[: len(section) + 1] == (*section, key):
                return f", line {number}"
        elif at == section and (found := KEY.match(line)) and found[1] == key:
            return f", line {number}"
    return ""


def _check_key(entry: Entry, known: dict[Section, dict[str, Any]], command: Section, has_sections: bool) -> None:
    """Refuses a key that no command of its section has."""
    section = entry.section if has_sections else command
    commands = {words: options for words, options in known.items() if words[: len(section)] == section}
    names = sorted({name for options in commands.values() for name in options} - {*NOT_IN_FILES, HIDDEN})
    if entry.option in (*names, HIDDEN) and not isinstance(entry.value, dict):
        return
    if isinstance(entry.value, dict) and entry.option not in names:
        place = (*entry.section, entry.key)
        name, sections = ".".join(place), sorted({".".join(words[: len(place)]) for words in known})
        raise typer.BadParameter(f"{entry.where}: [{name}] is no command with --config{hint(name, sections)}")
    if entry.option not in names:
        whose = " ".join(("recurra", *section))
        raise typer.BadParameter(f"{entry.where}: {entry.key} is no option of {whose}{hint(entry.option, names)}")


def _value(entry: Entry, parameter: Any) -> Any:
    """Checks that a value has the type of its option.

    Raises:
        typer.BadParameter: it has not.
    """
    kind, value = kind_of(parameter), entry.value
    if getattr(parameter, "multiple", False):
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) and item for item in values):
            raise typer.BadParameter(
                f"{entry.where}: {entry.key} should be a text or a list of texts, not {value!r:.80}"
            )
        return values
    if kind is bool:
        fits, wanted = isinstance(value, bool), "true or false"
    elif kind is int:
        fits, wanted = type(value) is int, "a whole number"
    elif kind is float:
        fits, wanted = type(value) in (int, float), "a number"
    else:  # names, files, and lists with commas between
        fits, wanted = type(value) in (int, float, str) and value != "", "a text"
    if not fits:
        raise typer.BadParameter(f"{entry.where}: {entry.key} should be {wanted}, not {value!r:.80}")
    check_number(parameter, value)
    return value
