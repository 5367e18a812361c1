"""The formats of `recurra.export`: one line for each. Importing this module imports no format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from recurra._util.messages import listed
from recurra.errors import UsageError


class Format(NamedTuple):
    """A file format.

    Attributes:
        name: value of `--format`.
        suffixes: endings of file names; the first is the usual one.
        builder: the function `build(model, **options) -> bytes` as `"module:function"`. A module that starts with a dot
            is relative to `recurra.exporting`.
        options: names of the options that the function takes. `name` is the name of the file without its ending.
        text: description for people.
    """

    name: str
    suffixes: tuple[str, ...]
    builder: str
    options: tuple[str, ...]
    text: str

    def load(self) -> Callable[..., bytes]:
        """Imports the function that builds the file."""
        module, _, name = self.builder.partition(":")
        return resolve_name(f"recurra.exporting{module}:{name}" if module.startswith(".") else self.builder)


FORMATS: tuple[Format, ...] = (
    Format("c", (".c",), ".c.build:build", ("name", "int8"), "one C99 file that runs step by step"),
    Format("web", (".safetensors",), ".web:build", (), "weights, settings and tokenizer for recurra-web in JavaScript"),
    Format(
        "onnx",
        (".onnx",),
        ".onnx:build",
        ("int8", "opset", "required_inputs", "part"),
        "ONNX: for ONNX Runtime, OpenVINO and others",
    ),
    Format(
        "html",
        (".html", ".htm"),
        ".html:build",
        ("name", "title", "examples"),
        "a web page with the model, its gates and states",
    ),
)


def format_for(path: Path, name: str | None) -> Format:
    """Returns the format with a name, or that of the ending of `path`.

    Raises:
        UsageError: there is no such format.
    """
    for one in FORMATS:
        if name == one.name or (name is None and path.suffix.lower() in one.suffixes):
            return one
    known = listed([f"{one.name} ({one.suffixes[0]})" for one in FORMATS], len(FORMATS))
    if name is None:
        raise UsageError(f"the ending of {path} names no format; give `format`, or use one of the endings of {known}")
    raise UsageError(f"there is no format {name!r:.80}; the formats are {known}")


def check_options(chosen: Format, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options that are set: those that are neither None, False nor empty.

    Raises:
        UsageError: an option is for other formats.
    """
    found = {name: value for name, value in options.items() if value is not None and value is not False and value != []}
    for name in found:
        if name not in chosen.options:
            fitting = listed([one.name for one in FORMATS if name in one.options], len(FORMATS))
            raise UsageError(f"`{name}` is an option of {fitting}, not of the format {chosen.name}")
    return found
