"""Cells of your own by the place of their class, `MODULE:CLASS`, for the command line."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from recurra.errors import UsageError

from .base import Cell
from .registry import find, register


def import_from_here(name: str) -> Any:
    """Imports a module, also from the current folder, where no file replaces an installed package."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return import_module(name)


def cell_name(option: str, text: str) -> str:
    """Returns the name of a cell; `MODULE:CLASS` is imported and registered.

    Raises:
        UsageError: the module cannot be imported, or has no such cell.
    """
    module, colon, kind = text.partition(":")
    if not colon:
        return text
    try:
        found = import_from_here(module)
    except Exception as error:
        raise UsageError(f"{option}: {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    cell = getattr(found, kind, None)
    if not isinstance(cell, Cell) and not (isinstance(cell, type) and issubclass(cell, Cell)):
        classes = {name: value for name, value in vars(found).items() if isinstance(value, type)}
        own = [name for name, value in classes.items() if issubclass(value, Cell) and value is not Cell]
        known = f"its cells are {', '.join(own)}" if own else "it has no cells"
        raise UsageError(f"{option}: the module {module!r} has no cell {kind!r}; {known}")
    register(cell)
    return find(cell).name
