"""Writes files and folders completely or not at all, and locks folders.

New content is built in a work folder next to its target, `.recurra-*.partial`, and renamed into place at the end. The
writing process holds a lock on its work folder. The operating system releases the lock when the process ends, even
after `kill -9`. An unlocked work folder is therefore a leftover: `tidy` removes it, and puts a folder back into place
if its replacement was interrupted between two renames.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recurra.errors import DataError, RecurraError, UsageError

try:
    import fcntl
except ImportError:  # Windows: there are no locks, and leftovers are not removed
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PREFIX, _SUFFIX = ".recurra-", ".partial"
_NEW, _OLD = "new", "old"

_holders: dict[tuple[int, int], int] = {}
"""Thread that holds the lock of a folder, by device and inode."""


@contextmanager
def written(path: str | Path, error: type[RecurraError] = DataError) -> Iterator[Path]:
    """Yields a file to write, which replaces `path` when the block ends without an error.

    A link is followed. Devices and pipes, such as `/dev/stdout`, receive the finished content.

    Args:
        path: file to write. The yielded path has the same name, in another folder.
        error: class of the error to raise.

    Raises:
        RecurraError: `path` cannot be written; it is unchanged.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise error(f"{path} is a folder; give the name of a file")
        if _is_stream(path):
            with tempfile.TemporaryDirectory() as folder:
                partial = Path(folder, path.name)
                yield partial
                with partial.open("rb") as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
            return
        target = Path(os.path.realpath(path))
        with _work_folder(target.parent) as work:
            partial = work / path.name
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
    except OSError as cause:
        raise unwritable(error, f"{path} cannot be written", cause) from None


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which replaces the folder `path` when the block ends without an error.

    At every moment either the old or the new folder is complete on the disk; see `tidy`.

    Raises:
        OSError: something cannot be written; `path` is unchanged.
    """
    with _work_folder(path.parent) as work:
        new = work / _NEW / path.name
        new.mkdir(parents=True)
        yield new
        if path.exists():
            (work / _OLD).mkdir()
            path.rename(work / _OLD / path.name)
        new.rename(path)


def remove(folder: Path) -> None:
    """Removes a folder and its content atomically: it is renamed before its files are deleted. It may be missing."""
    with suppress(OSError), _work_folder(folder.parent) as work:
        folder.rename(work / "removed")
    shutil.rmtree(folder, ignore_errors=True)  # a full disk does not allow another folder


def tidy(folder: Path) -> None:
    """Removes the leftovers of killed processes in `folder`, and completes their interrupted replacements."""
    try:
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if e.name.startswith(_PREFIX) and e.name.endswith(_SUFFIX)]
    except OSError:
        return
    for name in found:
        with suppress(OSError):
            handle = _lock(folder / name)
            if handle is not None:
                try:
                    _remove_work(folder / name)
                finally:
                    os.close(handle)


@contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Holds the lock of an existing folder. The same thread may lock it again inside the block.

    Args:
        folder: the folder to lock.
        message: message of the error if another process or thread holds the lock.

    Raises:
        UsageError: the folder is locked.
    """
    try:
        handle = _lock(folder)
    except OSError:  # a file system without locks
        yield
        return
    if handle is None:
        if not folder.exists() or _holders.get(_key(folder)) != threading.get_ident():
            raise UsageError(message)
        yield
        return
    key = _key(handle)
    _holders[key] = threading.get_ident()
    try:
        yield
    finally:
        del _holders[key]
        os.close(handle)


def unwritable(kind: type[RecurraError], message: str, cause: OSError) -> RecurraError:
    """Returns the error for a file or folder that cannot be written. A full disk has exit code 1.

    Args:
        kind: class of the error.
        message: the beginning of the message; the reason follows.
        cause: error of the system.
    """
    error = kind(f"{message}: {reason(cause)}")
    if cause.errno in _FULL:
        error.exit_code = RecurraError.exit_code  # the user's data or model folder is not to blame
    return error


def reason(error: OSError) -> str:
    """Returns the system's message for an error, without numbers and names of files."""
    return os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    tidy(parent)
    handle = None
    while True:
        work = Path(tempfile.mkdtemp(_SUFFIX, _PREFIX, parent))
        try:
            handle = _lock(work)
        except OSError:  # a file system without locks; `tidy` leaves its work folders alone
            break
        if handle is not None:  # None: `tidy` of another process has just removed it
            break
    try:
        yield work
    finally:
        with suppress(OSError):
            _remove_work(work)
        if handle is not None:
            os.close(handle)


def _remove_work(work: Path) -> None:
    """Removes a work folder. Before, it completes or undoes a replacement that stopped between its two renames."""
    for old in (work / _OLD).iterdir() if (work / _OLD).is_dir() else ():
        target, new = work.parent / old.name, work / _NEW / old.name
        if new.exists() and not os.path.lexists(target):
            try:
                new.rename(target)
            except OSError:
                old.rename(target)
    shutil.rmtree(work, ignore_errors=True)


def _lock(folder: Path) -> int | None:
    """Opens and locks a folder; None if it is locked already or was removed.

    Raises:
        OSError: the file system has no locks.
    """
    if fcntl is None:
        raise OSError
    handle, mine = None, False
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = _key(folder) == _key(handle)
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if handle is not None and not mine:
            os.close(handle)
    return handle if mine else None


def _key(file: Path | int) -> tuple[int, int]:
    found = os.fstat(file) if isinstance(file, int) else file.stat()
    return found.st_dev, found.st_ino


def _is_stream(path: Path) -> bool:
    """Returns whether a path is a device or a pipe, which cannot be replaced by a file."""
    if str(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        return True
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False
