"""Files behind a URL, such as `s3://bucket/reviews.parquet`, read through fsspec."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from recurra.errors import DataError

# pathlib reduces the two slashes of a URL to one. A single letter is a drive of Windows.
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/])")
_BUFFER = 1 << 20


def url_of(path: object) -> str | None:
    """Returns the URL that a path or text holds; None if it holds none.

    Example:
        >>> url_of(Path("s3://bucket/reviews.csv"))
        's3://bucket/reviews.csv'
        >>> url_of("reviews.csv") is None
        True
    """
    text = str(path)
    found = _URL.match(text)
    if found is None:
        return None
    return f"{found[1].lower()}:{'///' if found[1].lower() == 'file' else '//'}{text[found.end() :]}"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a file system of fsspec. It has the properties of `pathlib.Path` that the readers use.

    Attributes:
        system: the file system.
        key: name of the file in it.
        url: the file, for messages.
        size: number of bytes.
    """

    system: Any
    key: str
    url: str
    size: int

    @property
    def name(self) -> str:
        """Last part of the name."""
        return PurePosixPath(self.key).name

    def open(self) -> BinaryIO:
        """Opens the file for reading at any position."""
        with remote_errors(self.url):
            return io.BufferedReader(self.system.open(self.key, "rb", block_size=_BUFFER), _BUFFER)  # type: ignore[arg-type]

    def fetch(self, folder: Path) -> Path:
        """Copies the file to a folder and returns the copy."""
        with remote_errors(self.url):
            self.system.get_file(self.key, str(folder / self.name))
        return folder / self.name


def find_remote(url: str) -> tuple[list[RemoteFile], bool]:
    """Returns the files that a URL names: one file, those of a folder, or those that match a pattern.

    Args:
        url: such as `s3://bucket/folder` or `s3://bucket/part-*.parquet`.

    Returns:
        The files in no particular order, and whether the URL names exactly one file.

    Raises:
        DataError: the file system is unknown or cannot be reached.
    """
    from fsspec.core import has_magic, url_to_fs

    with remote_errors(url):
        system, root = url_to_fs(url)
        if has_magic(root):
            entries = system.glob(root, detail=True)
        elif system.isdir(root):
            entries = system.find(root, detail=True)
        else:
            entries = {root: system.info(root)}
            return [RemoteFile(system, root, url, int(entries[root]["size"] or 0))], True
    files = [(key, info) for key, info in entries.items() if info["type"] == "file"]
    return [RemoteFile(system, key, system.unstrip_protocol(key), int(info["size"] or 0)) for key, info in files], False


@contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """Converts the errors of a file system in the block to `DataError`."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {url}") from None
    except ImportError as error:
        raise DataError(f"{url} cannot be read: {error}\nInstall it with pip install 'recurra[remote]'.") from None
    except ValueError as error:  # an unknown protocol
        raise DataError(f"{url} cannot be read: {error}") from None
    except Exception as error:  # each file system has its own classes of errors
        raise DataError(f"{url} cannot be read: {str(error).partition(chr(10))[0] or type(error).__name__}") from None
