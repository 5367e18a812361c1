"""Reads why the native engine is not there: the output of the failed build that the installation kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

NAME = "_build_failure.txt"
"""The file beside the engine's place; `csrc/build_backend.py` writes it."""


def build_log(folders: Iterable[str]) -> Path | None:
    """Returns the kept output of a failed build; None if none failed.

    Args:
        folders: of the package `recurra.ops.native`; an editable installation has two.
    """
    return next((path for folder in folders if (path := Path(folder) / NAME).is_file()), None)


def first_error(output: str) -> str:
    r"""Returns the first error of a compiler or of CMake in the output of a build.

    Example:
        >>> first_error("[1/2] Building\na.cpp:3:5: error: no such thing\na.cpp:9:1: error: another")
        'a.cpp:3:5: error: no such thing'
    """
    compiler = re.search(r"^.*\b(?:fatal )?error: .*$", output, re.M)
    if compiler:
        return compiler[0].strip()
    cmake = re.search(r"^CMake Error[^\n]*\n(?:[ \t]*\n)*((?:[ \t]+\S[^\n]*\n?)+)", output, re.M)
    if cmake:
        return " ".join(cmake[1].split())
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["the build left no message"]
    return next((line for line in lines if "error" in line.lower()), lines[-1])


def why_absent(folders: Iterable[str], error: ImportError) -> str:
    """Returns why the native engine cannot be imported: the first error of its build, or that of the import."""
    log = build_log(folders)
    if log is None:
        return str(error)
    return f"its compilation failed: {first_error(log.read_text(encoding='utf-8', errors='replace'))}"
