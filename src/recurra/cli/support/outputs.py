"""Checks that a command does not overwrite its input or a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from recurra.errors import UsageError

OUTPUTS = ("out", "plot", "netcdf", "parquet")
"""Parameters that name output files. An existing file with this name is replaced."""


def check_outputs(params: dict[str, Any]) -> None:
    """Compares the outputs of a command with everything else that its arguments name.

    Args:
        params: values of the parameters by name.

    Raises:
        UsageError: an output would replace an input, a file of a model, or another output.
    """
    outputs = {f"--{name}": Path(params[name]) for name in OUTPUTS if params.get(name) is not None}
    given = [(name, one) for name, value in params.items() for one in (value if isinstance(value, list) else [value])]
    inputs = [
        value
        for name, value in given
        if name not in OUTPUTS and (isinstance(value, Path) or (name == "data" and isinstance(value, str)))
    ]
    seen: dict[str, str] = {}
    for option, path in outputs.items():
        place = os.path.realpath(path)
        if place in seen:
            raise UsageError(f"{seen[place]} and {option} name the same file {path}")
        seen[place] = option
        if any(_same(path, name) for name in inputs):
            raise UsageError(f"{option} {path} would replace the input; choose another name")
        if _is_of_model(Path(place)):
            raise UsageError(f"{option} {path} would replace a file of the model {path.parent}; choose another name")


def _same(path: Path, name: str | Path) -> bool:
    try:
        return path.samefile(name)
    except (OSError, ValueError):  # one of them is not a file
        return False


def _is_of_model(path: Path) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113 (a name may be too long for Path.is_file)
        return False
    from recurra.io.folder import own_files  # imports torch

    return path.name in own_files(path.parent)
