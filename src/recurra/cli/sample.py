"""`recurra sample`: small real data to try things on, copied to a folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from recurra.errors import DataError, UsageError

from .console import say, show_table


def sample(
    name: Annotated[str | None, typer.Argument(help="Which one; all are listed if left out.", metavar="NAME")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; NAME-sample if left out.")] = None,
) -> None:
    """Copy a small embedded data set, with its licence, to a folder.

    [bold]Examples[/bold]

      recurra sample
      recurra sample nsmc
      recurra sample nsmc --out reviews
    """
    from importlib.resources import as_file, files

    home = files("recurra.data") / "samples"
    known = sorted(entry.name for entry in home.iterdir() if entry.is_dir() and not entry.name.startswith("_"))
    if name is None:
        heads = [(home / n / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for n in known]
        show_table("Samples", ["name", "what"], [list(row) for row in zip(known, heads, strict=True)], numbers=False)
        return
    if name not in known:
        raise UsageError(f"there is no sample {name!r}; known are {', '.join(known)}")
    folder = out or Path(f"{name}-sample")
    try:
        with as_file(home / name) as source:
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise DataError(f"the sample cannot be written to {folder}: {error}") from None
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    say(f"{folder}: {names}")
