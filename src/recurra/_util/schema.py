"""Types of the content of a model folder. Values are checked before anything is built from them.

Each part of the folder has a record next to the code that writes it. msgspec checks types, ranges and unknown keys;
relations between keys are checked by the record's `check`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec

from recurra.errors import ModelFolderError

from . import strict_json

T = TypeVar("T")

Natural = Annotated[int, msgspec.Meta(ge=0)]
Size = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Flag = bool | Literal[0, 1]
Scalar = str | int | float | bool | None


def empty_list() -> Any:
    """Returns the default of a key that holds a list."""
    return msgspec.field(default_factory=list)


LONGEST = 500
"""Maximum number of characters of a message, which may quote a damaged file."""
MAX_LABEL_CELLS = 1 << 26
"""Maximum number of characters of an array of labels. A numpy array gives every label the width of the longest."""


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON object with known keys. A key with a default may be absent, as in folders of older versions."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Checks the relations between the values.

        Raises:
            ValueError: the values contradict each other. The message is one clause.
        """


class FileError(ModelFolderError):
    """An error in a file of a model folder; a caller that knows the folder adds its path.

    Args:
        name: name of the file in the folder.
        reason: the rest of the message, which follows the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        words = "".join(c if c.isprintable() else " " for c in f"{name} {reason}")
        super().__init__(words if len(words) <= LONGEST else words[: LONGEST - 1] + "…")


def check(kind: type[T], value: Any, name: str, at: str = "") -> T:
    """Checks a parsed JSON document against a type.

    Args:
        kind: a `Record`, or another type that msgspec supports.
        value: the parsed document.
        name: name of the file, for the message.
        at: position of the value in the file, for the message.

    Raises:
        FileError: the value does not have this type. The message names the key.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        raise FileError(name, f"does not fit: {_readable(str(error), at)}") from None


@cache
def record_of(described: type) -> type[msgspec.Struct]:
    """Returns the record of a dataclass: a key for each field, of its type and with its default."""
    hints = get_type_hints(described, include_extras=True)
    fields = []
    for field in dataclasses.fields(described):
        default = msgspec.NODEFAULT if field.default is dataclasses.MISSING else field.default
        fields.append((field.name, hints[field.name], msgspec.field(default=default)))
    return msgspec.defstruct(described.__name__, fields, forbid_unknown_fields=True, kw_only=True)


def check_fields(described: type, value: Any, at: str) -> None:
    """Checks the fields of a dataclass inside a `Record.check`.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    try:
        msgspec.convert(value, record_of(described))
    except msgspec.ValidationError as error:
        raise ValueError(_readable(str(error), at)) from None


def plain(record: Record) -> dict[str, Any]:
    """Converts a record to dictionaries and lists, with the defaults of absent keys."""
    return msgspec.to_builtins(record)


def parse_file(kind: type[T], text: str, name: str, *, nonfinite: bool = False) -> T:
    """Parses a JSON file of a model folder and checks it against a type.

    Raises:
        FileError: it is not strict JSON, or does not have this type.
    """
    return check(kind, parse_json(text, name, nonfinite=nonfinite), name)


def parse_json(text: str, name: str, *, nonfinite: bool = False) -> Any:
    """Parses a JSON file of a model folder.

    Raises:
        FileError: it is not strict JSON.
    """
    try:
        return strict_json.parse(text, nonfinite=nonfinite)
    except ValueError as error:
        raise FileError(name, f"is damaged: {error}") from None


def check_labels(labels: Sequence[Any], least: int = 1) -> None:
    """Checks class labels that become one array.

    Raises:
        ValueError: there are too few, one occurs twice, or they are too long.
    """
    if len(labels) < least:
        raise ValueError(f"there are {len(labels)} labels, but at least {least} are needed")
    if len(set(labels)) < len(labels):
        raise ValueError("a label occurs twice")
    if len(labels) * max((len(str(label)) for label in labels), default=0) > MAX_LABEL_CELLS:
        raise ValueError("the labels are too long")


def _readable(message: str, at: str) -> str:
    """Converts msgspec's "Expected `int`, got `str` - at `$.params.x`" into "params.x: expected int, got str"."""
    what, _, where = message.partition(" - at ")
    key = where.strip("`").removeprefix("key in ").lstrip("$.")
    place = ".".join(part for part in (at, key) if part)
    what = what.replace("`", "")
    what = what[:1].lower() + what[1:]
    if "unknown field" in what:
        what += "; a newer version may have written it"
    return f"{place}: {what}" if place else what
