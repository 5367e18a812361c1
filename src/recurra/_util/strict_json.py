"""Strict JSON: no NaN or Infinity, no duplicate keys, and limits on size and depth."""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

MAX_CONTAINERS, MAX_VALUES = 1_000_000, 2_000_000
"""Maximum numbers of lists and objects, and of values, in a document. It takes seconds and about 100 MB to parse."""

_LARGEST = 2**63 - 1
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
"""An escaped backslash, and two escapes that together are one character."""


def parse(text: str, *, nonfinite: bool = False) -> Any:
    """Parses a JSON document from an untrusted source.

    Args:
        text: the document.
        nonfinite: True to accept the constants NaN, Infinity and -Infinity as numbers.

    Raises:
        ValueError: it is not strict JSON. The message is one clause that names the position.

    Example:
        >>> parse('{"a": [1, 2.5, null]}')
        {'a': [1, 2.5, None]}
        >>> parse('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: the key "a" occurs twice
    """
    check_size(text)
    if _HALF.search(text):  # rare, and costs a second pass
        _refuse_halves(text)
    collecting = gc.isenabled()
    gc.disable()  # parsing creates no garbage, and collections would take most of the time
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=float if nonfinite else _no_constant,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("its lists and objects are nested too deeply") from None
    finally:
        if collecting:
            gc.enable()


def _refuse_halves(text: str) -> None:
    """Raises ValueError for half of a surrogate pair, which is not a character and cannot be written."""
    if _HALF.search(_PAIR.sub("", text)):
        raise ValueError("an escape is half of a character")


def check_size(text: str) -> None:
    """Checks that a document does not have too many values for `parse`.

    Raises:
        ValueError: it has too many values.
    """
    if text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise ValueError(f"it holds more than {MAX_CONTAINERS:,} lists and objects")
    if text.count(",") > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")


def dump(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """Writes a value as strict JSON with readable Korean; numbers that are not finite become `null`.

    Args:
        value: the value to write.
        indent: spaces per level; None for one line.
        default: converts a value of another type to a JSON type.

    Example:
        >>> dump({"f1": float("nan"), "name": "모델"})
        '{"f1": null, "name": "모델"}'
    """
    write = partial(json.dumps, ensure_ascii=False, indent=indent, default=default, allow_nan=False)
    try:
        return write(value)
    except ValueError:
        return write(_without_nonfinite(value))


def _without_nonfinite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nonfinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f'the key "{twice:.80}" occurs twice')
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST:
        raise ValueError(f"the number {digits:.40} is out of range")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits:.40} is out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
