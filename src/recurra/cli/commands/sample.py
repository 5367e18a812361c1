"""`recurra sample`: small real data to try things on, copied to a folder."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from recurra._util.atomic import reason, replaced, written
from recurra.cli.support.console import say, show_table
from recurra.errors import DataError, UsageError


def sample(
    name: Annotated[
        str | None, typer.Argument(help="Name of the sample. Without it, all samples are listed.", metavar="NAME")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; by default NAME-sample.")] = None,
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
    with as_file(home / name) as source:
        _copy(source, folder)
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    say(f"{folder}: {names}")


def _copy(source: Path, folder: Path) -> None:
    """Copies the files of a sample; files that are there already must be equal.

    Raises:
        UsageError: a file of the same name has other content.
        DataError: the files cannot be written.
    """
    paths = [p.relative_to(source) for p in source.rglob("*") if p.is_file() and p.parent.name != "__pycache__"]
    try:
        for path in paths:
            if (folder / path).exists() and not filecmp.cmp(source / path, folder / path, shallow=False):
                raise UsageError(f"{folder / path} exists and is not the file of the sample; choose another --out")
        if not folder.exists():
            target = Path(os.path.realpath(folder))
            target.parent.mkdir(parents=True, exist_ok=True)
            with replaced(target) as partial:
                for path in paths:
                    (partial / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / path, partial / path)
            return
        for path in paths:
            if not (folder / path).exists():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with written(folder / path) as partial:
                    shutil.copyfile(source / path, partial)
    except OSError as error:
        raise DataError(f"the sample cannot be written to {folder}: {reason(error)}") from None
