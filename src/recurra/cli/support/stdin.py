"""Texts on standard input, one a line, or on the command line itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from .console import say


def lines_of(source: str | list[str]) -> Iterator[list[str]] | None:
    """The texts of a source, some at a time; None for a file.

    Args:
        source: a file name, `-` for standard input, or texts.
    """
    if isinstance(source, list):
        return iter([source])
    return lines_at_hand() if source == "-" else None


def lines_at_hand() -> Iterator[list[str]]:
    """Lists of lines, as many as have arrived: a slow writer gets its answers at once, a fast one in batches."""
    rest, broken = b"", 0
    while block := os.read(sys.stdin.fileno(), 1 << 20):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield [_decode(line) for line in lines]
            broken += sum(_is_broken(line) for line in lines)
            sys.stdout.flush()
    if rest:
        yield [_decode(rest)]
        broken += _is_broken(rest)
    if broken:
        say(f"{broken:,} lines were not valid UTF-8; their broken bytes were taken as unknown characters")


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _is_broken(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
