"""Reads parallel text: two files whose lines with the same number are translations of each other."""

from __future__ import annotations

from pathlib import Path

from recurra._util.messages import counted
from recurra.errors import DataError

from .text_lines import read_lines


def read_parallel(path: Path, other: Path, encoding: str | None = None) -> tuple[list[str], list[str], str]:
    """Reads two files with the same number of lines; empty lines count.

    Args:
        path: the file of source texts, plain or compressed.
        other: the file of target texts.
        encoding: a Python codec for both files; detected for each file if None.

    Returns:
        Source texts, target texts, and a one-line summary for the user.

    Raises:
        DataError: a file cannot be read, or the numbers of lines differ.
    """
    sources, targets = (read_lines(side, encoding) for side in (path, other))
    counts = [side.table.num_rows for side in (sources, targets)]
    if counts[0] != counts[1]:
        raise DataError(
            f"{path.name} has {counted(counts[0], 'line')} but {other.name} has {counted(counts[1], 'line')}\n"
            "Lines with the same number must be translations of each other: add or remove lines."
        )
    columns = [side.table.column(0).to_pylist() for side in (sources, targets)]
    return columns[0], columns[1], f"{sources.summary}; {targets.summary}"
