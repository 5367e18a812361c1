"""Reads an untrusted model folder: every file is checked before its content is used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra._util.atomic import tidy
from recurra._util.schema import FileError, parse_json
from recurra.errors import ModelFolderError

from .folder import CONFIG, FORMAT, MAX_FILES, SCHEMA_VERSION, WEIGHTS, max_bytes

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Adds the path of the folder to the message of a `FileError` raised in the block."""
    try:
        yield
    except FileError as error:
        raise ModelFolderError(f"{path / str(error)}") from None


@dataclass(frozen=True)
class StoredModel:
    """Content of a model folder without the weights.

    Attributes:
        path: of the folder.
        config: content of config.json. Its schema version is supported.
        files: further text files by name.
    """

    path: Path
    config: dict[str, Any]
    files: dict[str, str]


def read_folder(path: str | Path) -> StoredModel:
    """Reads a model folder without the weights; `read_weights` reads those.

    Raises:
        ModelFolderError: the folder is missing, incomplete or damaged, was not written by Recurra, or has a newer
            schema; the message names the reason.
    """
    folder = open_folder(path)
    with blaming(folder):
        config = read_config(folder)
        return StoredModel(folder, config, read_files(folder, config.get("files", [])))


def identity(path: str | Path) -> tuple[int, int] | None:
    """Returns the device and inode of a folder, which change if the folder is replaced; None if it does not exist."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def open_folder(path: str | Path) -> Path:
    """Checks that a folder exists.

    Raises:
        ModelFolderError: the folder does not exist, or cannot be read.
    """
    path = Path(path)
    with suppress(ValueError):  # a NUL byte
        tidy(Path(os.path.realpath(path)).parent)
    try:
        mode = path.stat().st_mode
    except ValueError:
        raise ModelFolderError(f"{str(path)!r:.200} is not the name of a folder") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ModelFolderError(f"there is no model folder {path}\ntrain one with: recurra fit … --out {path}") from None
    except OSError as error:
        raise ModelFolderError(f"the model folder {path!s:.200} cannot be read: {error.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise ModelFolderError(f"{path} is not a model folder, but {_KINDS.get(stat.S_IFMT(mode), 'a file')}")
    return path


def locate(folder: Path, name: str) -> Path:
    """Returns the regular file of a name in a folder. Links are followed inside the folder only.

    Raises:
        FileError: it is missing, is not a regular file, or is a link that leaves the folder.
    """
    try:
        found = (folder / name).resolve(strict=True)
        inside = found.is_relative_to(folder.resolve(strict=True))
        mode = found.lstat().st_mode
    except FileNotFoundError:
        raise FileError(name, "is missing") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise FileError(name, f"cannot be read: {_reason(error)}") from None
    if not inside:
        raise FileError(name, "is a link that leaves the folder; copy the file it points to into the folder")
    if not stat.S_ISREG(mode):
        raise FileError(name, f"is {_KINDS.get(stat.S_IFMT(mode), 'not a regular file')}, not a regular file")
    return found


def read_text(folder: Path, name: str) -> str:
    """Reads a text file of a model folder.

    Raises:
        FileError: it is missing, not a regular file, larger than `max_bytes`, or not UTF-8 text.
    """
    path, limit = locate(folder, name), max_bytes(name)
    try:
        # O_NONBLOCK: do not wait if another process has just replaced the file by a named pipe
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise FileError(name, f"cannot be read: {_reason(error)}") from None
    if len(content) > limit:
        raise FileError(name, f"is larger than {limit >> 20} MB, so it is not a file that Recurra wrote")
    if not content.strip():
        raise FileError(name, "is empty")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(name, f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8 again") from None
    if text.startswith("\ufeff"):
        raise FileError(name, "begins with a byte order mark; save it as UTF-8 without one")
    return text


def read_config(folder: Path) -> dict[str, Any]:
    """Reads the configuration and checks that this version may use it.

    Raises:
        FileError: it is missing or damaged.
        ModelFolderError: a newer version of Recurra wrote the folder.
    """
    config = parse_json(read_text(folder, CONFIG), CONFIG)
    if not isinstance(config, Mapping) or config.get("format") != FORMAT:
        raise FileError(CONFIG, "does not describe a Recurra model")
    version = config.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FileError(CONFIG, "has no valid schema_version")
    if version > SCHEMA_VERSION:
        raise ModelFolderError(
            f"{folder} was written by a newer version (schema {version}, this one reads up to {SCHEMA_VERSION})\n"
            "update with: pip install --upgrade recurra"
        )
    return dict(config)


def read_files(folder: Path, names: Any) -> dict[str, str]:
    """Reads the text files that a configuration names.

    Raises:
        FileError: the names are not file names in the folder, or a file cannot be read.
    """
    if not isinstance(names, list) or len(names) > MAX_FILES or not all(map(_is_plain_name, names)):
        raise FileError(CONFIG, f"does not fit: files is not a list of at most {MAX_FILES} file names")
    if len(set(names)) < len(names):
        raise FileError(CONFIG, "does not fit: files names a file twice")
    return _Files({name: read_text(folder, name) for name in names})


class _Files(dict[str, str]):
    """Text files by name. Access to a missing file raises `FileError`."""

    def __missing__(self, name: str) -> str:
        raise FileError(CONFIG, f"does not fit: files does not name {name}, which this model needs")


def _is_plain_name(name: Any) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) < 100
        and name not in (CONFIG, WEIGHTS)
        and not name.startswith(".")
        and name.isprintable()
        and not set("/\\:") & set(name)
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
