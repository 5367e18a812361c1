"""Finds the files of a data set: one file, a folder, a pattern such as `data/*.csv`, or a URL of any of these."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable
from pathlib import Path, PurePath

from recurra.errors import DataError

from .access import is_file, is_folder
from .remote import RemoteFile, find_remote, url_of

File = Path | RemoteFile
"""A file on this machine, or behind a URL."""


def find_files(path: str | Path) -> list[File]:
    """Returns the files that a path names, sorted by name.

    A folder stands for all files in it and below it. Hidden files, and files and folders whose names begin with `_`
    (such as `_SUCCESS`), are ignored.

    Args:
        path: a file, which does not have to exist; a folder; a pattern with `*`, `?`, `[…]` or `**`; or a URL.

    Raises:
        DataError: the folder has no files, no file matches the pattern, or the URL cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.csv", "a.csv", "_SUCCESS"):
        ...         _ = Path(folder, name).write_text("x")
        ...     [file.name for file in find_files(folder)]
        ['a.csv', 'b.csv']
    """
    url = url_of(path)
    if url is not None:
        remote, single = find_remote(url)
        if single:
            return list(remote)
        root = url.partition("://")[2]
        files: list[File] = [file for file in remote if not _ignored(_below(file.key, root))]
        return _some(sorted(files, key=lambda file: str(getattr(file, "key", file))), url)
    if is_folder(path):
        root_folder = Path(path)
        found = (file for file in root_folder.rglob("*") if not _ignored(file.relative_to(root_folder).parts))
        return _some(sorted((file for file in found if file.is_file()), key=Path.as_posix), f"the folder {path}")
    if not is_file(path) and glob.has_magic(str(path)):
        return _some(_matches(str(path)), str(path))
    return [Path(path)]


def is_pattern(text: str) -> bool:
    """Returns whether a text has an asterisk and is a pattern that matches a file on this machine.

    Example:
        >>> is_pattern("nothing here *.csv"), is_pattern("a good film?")
        (False, False)
    """
    return "*" in text and "\0" not in text and bool(_matches(text))


def _matches(pattern: str) -> list[Path]:
    found = (Path(name) for name in glob.iglob(pattern, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
    fixed = len(list(itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)))
    return sorted((file for file in found if not _ignored(file.parts[fixed:]) and file.is_file()), key=Path.as_posix)


def _below(key: str, root: str) -> tuple[str, ...]:
    """Returns the parts of a remote name below a folder; only the last part if the folder is a pattern."""
    return PurePath(key[len(root) :] if key.startswith(root) else PurePath(key).name).parts


def _ignored(parts: Iterable[str]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _some(files: list, place: str) -> list:
    if not files:
        what = "contains no files of data" if place.startswith("the folder") else "names no file of data"
        raise DataError(f"{place} {what}; hidden files and names that begin with _ are ignored")
    return files
