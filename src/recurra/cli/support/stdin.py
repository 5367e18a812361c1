"""Reads texts from standard input, one per line, or from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from .console import say


def text_batches(source: str | list[str]) -> Iterator[list[str]] | None:
    """Returns batches of the texts of a source; None for a file.

    Args:
        source: a file name, `-` for standard input, or texts.
    """
    if isinstance(source, list):
        return iter([source])
    return stdin_batches() if source == "-" else None


def stdin_batches() -> Iterator[list[str]]:
    """Yields the lines that have arrived. A slow writer gets each answer at once, a fast writer gets batches."""
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
        say(f"{broken:,} lines were not valid UTF-8; the invalid bytes were replaced by unknown characters")


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _is_broken(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
