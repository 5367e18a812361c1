"""API keys: a file with one key per line, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import stat
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from recurra.errors import DataError

PROTOCOL = "recurra"
"""Subprotocol of a WebSocket that the server selects."""
KEY_PROTOCOL = "recurra.key."
"""Prefix of the subprotocol that holds the key, in base64url without padding."""

_LINE = re.compile(r"(?:([A-Za-z0-9_.-]{1,64})\s*:\s*)?([!-9;-~]{16,256})")
_READABLE = stat.S_IRWXG | stat.S_IRWXO


class Keys:
    """The keys of a file.

    Args:
        path: one key per line, optionally with the name of the client before it: `name:key`. Keys have at least 16
            characters, which are visible ASCII characters without colons. `#` begins a comment.

    Raises:
        DataError: the file cannot be read, can be read by other users, or has no key or a wrong line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests: list[tuple[bytes, str]] = []
        self.reload()

    def reload(self) -> int:
        """Reads the file again. The old keys are kept if it cannot be used.

        Returns:
            The number of keys.

        Raises:
            DataError: the file cannot be used.
        """
        self._digests = _read(self.path)
        return len(self._digests)

    def client(self, key: bytes) -> str | None:
        """Returns the name of the client with this key; None if the key is unknown.

        The time does not depend on the keys: all digests are compared completely.
        """
        digest, found = sha256(key).digest(), None
        for known, name in self._digests:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def key_of(headers: Mapping[bytes, bytes], protocols: Sequence[str] = ()) -> bytes | None:
    """Returns the key of a request; None if it has none.

    Args:
        headers: by name in lower case. `Authorization: Bearer KEY` and `X-API-Key: KEY` are read.
        protocols: offered subprotocols of a WebSocket, because browsers cannot set its headers.
    """
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer" and value.strip():
        return value.strip()
    if b"x-api-key" in headers:
        return headers[b"x-api-key"].strip()
    for protocol in protocols:
        if protocol.startswith(KEY_PROTOCOL):
            text = protocol.removeprefix(KEY_PROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            except (binascii.Error, ValueError):
                return b""
    return None


def _read(path: Path) -> list[tuple[bytes, str]]:
    """Reads digests and names.

    Raises:
        DataError: the file cannot be used.
    """
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise DataError(f"the key file {path} is not a file")
            if os.name == "posix" and mode & _READABLE:
                raise DataError(f"other users can read the key file {path}; run: chmod 600 {path}")
            lines = file.read().splitlines()
    except OSError as error:
        raise DataError(f"the key file {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"the key file {path} has characters that are not ASCII") from None
    found: list[tuple[bytes, str]] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise DataError(
                f"{path}, line {number}: a key has 16 to 256 visible ASCII characters without colons, and may have the "
                "name of the client before it: name:key"
            )
        digest = sha256(match[2].encode()).digest()
        if any(digest == known for known, _ in found):
            raise DataError(f"{path}, line {number}: the same key is in an earlier line")
        found.append((digest, match[1] or f"key-{digest.hex()[:6]}"))
    if not found:
        raise DataError(f"the key file {path} has no key; write one key per line")
    return found
