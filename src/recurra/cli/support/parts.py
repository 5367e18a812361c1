"""A folder of numbered files, each of which is written completely or not at all, and which a later run can complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra._util.atomic import locked, reason, tidy, written
from recurra.errors import RecurraError, UsageError

from .console import say

INDEX, PREPARED = "_run.json", "_prepared"
"""Names in the folder that no data set contains: what the files belong to, and data that are prepared for the run."""


@dataclass(frozen=True)
class PartFolder:
    """A folder of numbered files.

    Attributes:
        path: the folder.
        suffix: of the files, such as `".parquet"`.
        resume: whether files of an earlier run are kept.
        overwrite: whether files of an earlier run are replaced.
    """

    path: Path
    suffix: str
    resume: bool = False
    overwrite: bool = False

    @property
    def prepared(self) -> Path:
        """Folder for data that are prepared for the run; it is removed at the end."""
        return self.path / PREPARED

    def file(self, number: int) -> Path:
        """Returns the name of a file; the order of the names is that of the numbers."""
        return self.path / f"part-{number:06d}{self.suffix}"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Creates the folder and locks it. If the block fails before a file is complete, nothing is left.

        Raises:
            UsageError: the folder has other files, or finished work and no option says what to do with it.
        """
        existed = self.path.exists()
        if existed and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; --out names a folder, or a file with an ending such as .csv")
        self._check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecurraError(f"the folder {self.path} cannot be created: {reason(error)}") from None
        with locked(self.path, f"another process is writing into {self.path}"):
            tidy(self.path)
            if self.overwrite and not self.resume:
                for file in (self.path / INDEX, *self._files()):
                    file.unlink(missing_ok=True)
            try:
                yield
            except BaseException as error:
                tidy(self.path)  # a worker that was ended leaves an incomplete file
                if self._files() or (self.prepared.exists() and isinstance(error, KeyboardInterrupt)):
                    say("what is complete is kept; the same command with --resume continues")
                else:
                    (self.path / INDEX).unlink(missing_ok=True)
                    shutil.rmtree(self.prepared, ignore_errors=True)
                    if not existed:
                        self.path.rmdir()
                raise

    def begin(self, identity: str, count: int) -> list[int]:
        """Returns the numbers of the files that are missing.

        Args:
            identity: text that differs if the files of an earlier run cannot be kept.
            count: number of files.

        Raises:
            UsageError: the files in the folder belong to another run.
        """
        known = self._index()
        if known is None:
            if self.resume:
                say(f"there is no unfinished run in {self.path}; it starts from the beginning")
            self._write({"identity": identity, "files": count, "complete": False})
        elif known.get("identity") != identity:
            raise UsageError(
                f"{self.path} has predictions of another model, other data or other options\n"
                "choose another --out, or add --overwrite instead of --resume"
            )
        return [number for number in range(count) if not self.file(number).exists()]

    def finish(self) -> None:
        """Notes that all files are complete, and removes what was prepared."""
        self._write({**(self._index() or {}), "complete": True})
        shutil.rmtree(self.prepared, ignore_errors=True)

    def _check(self) -> None:
        known = self._index()
        if known is None:
            if self.path.is_dir() and {entry.name for entry in self.path.iterdir()} - {PREPARED}:
                raise UsageError(f"{self.path} has other files; choose another --out")
        elif not (self.resume or self.overwrite):
            if known.get("complete"):
                raise UsageError(
                    f"{self.path} has finished predictions\nchoose another --out, or add --overwrite to replace them"
                )
            raise UsageError(
                f"{self.path} has an unfinished run\n"
                "add --resume to continue it, --overwrite to start from the beginning"
            )

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("part-*"))

    def _index(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _write(self, index: dict[str, Any]) -> None:
        with written(self.path / INDEX, RecurraError) as partial:
            partial.write_text(json.dumps(index), encoding="utf-8")


def check_place(folder: Path, data: str) -> None:
    """Refuses a folder for predictions inside the folder of the data, where they would become data.

    Raises:
        UsageError: it is there.
    """
    if Path(data).is_dir() and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(data)):
        raise UsageError(f"--out {folder} is inside the folder of the data; choose another place")
