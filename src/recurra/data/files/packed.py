"""Opens files, decompresses gzip, bzip2, xz and Zstandard, and limits the expansion of a compressed file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from pathlib import Path
from typing import Any, BinaryIO

from recurra.errors import DataError, UsageError

PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
MAX_EXPANSION = 200
"""Maximum ratio of unpacked to packed size. Tables and logs are below 50. The environment variable
`RECURRA_MAX_EXPANSION` overrides it."""
FREE_BYTES = 16 << 20
"""Unpacked size up to which the ratio does not matter."""


def _open_zstd(file: BinaryIO) -> Any:
    import pyarrow as pa  # Python has no module for this format before version 3.14

    return pa.CompressedInputStream(file, "zstd")


_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"\x28\xb5\x2f\xfd": _open_zstd}


def open_binary(path: Path) -> BinaryIO:
    """Opens a file for reading bytes. If its first bytes are those of gzip, bzip2, xz or Zstandard, it is decompressed.

    Raises:
        DataError: while reading, as soon as the file expands too much (see `check_expansion`).
    """
    file = path.open("rb")
    head = file.peek(6)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    return file if opener is None else io.BufferedReader(_Unpacked(path, file, opener), 1 << 16)


def check_expansion(path: Path, packed: int, unpacked: int) -> None:
    """Refuses a file, or the part of it read so far, that expands too much.

    Args:
        path: the file, for the message.
        packed: number of bytes in the file.
        unpacked: number of bytes after decompression.

    Raises:
        DataError: more than `MAX_EXPANSION` times as many, and more than `FREE_BYTES`.
        UsageError: `RECURRA_MAX_EXPANSION` is not a number.
    """
    if unpacked <= FREE_BYTES or unpacked <= packed * max_expansion():
        return
    raise DataError(
        f"{path.name} expands to {unpacked >> 20:,} MB or more, over {max_expansion():,} times its compressed size\n"
        "If the file comes from a trusted source, unpack it first, or set RECURRA_MAX_EXPANSION to a greater ratio."
    )


def max_expansion() -> int:
    """Returns the maximum allowed ratio.

    Raises:
        UsageError: the environment variable is not a positive integer.
    """
    given = os.environ.get("RECURRA_MAX_EXPANSION", "")
    if not given:
        return MAX_EXPANSION
    if not given.isdecimal() or not int(given):
        raise UsageError(f"RECURRA_MAX_EXPANSION must be a whole number above 0, got {given!r:.40}")
    return int(given)


class _Unpacked(io.RawIOBase):
    """A stream that decompresses a file and counts the bytes."""

    def __init__(self, path: Path, packed: BinaryIO, opener: Any) -> None:
        super().__init__()
        self._path, self._packed, self._stream, self._count = path, packed, opener(packed), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.readinto(buffer)
        self._count += found
        check_expansion(self._path, self._packed.tell(), self._count)
        return found

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()
