"""Which process a session belongs to. Two processes must not run one session."""

from __future__ import annotations

import secrets
import zlib
from typing import Protocol

from .problems import Problem


class Owners(Protocol):
    """Decides which sessions this process may run."""

    def new_id(self) -> str:
        """Returns a random name for a session of this process."""
        ...

    def check(self, session: str) -> None:
        """Refuses a session of another process.

        Raises:
            Problem: the session belongs to another process.
        """
        ...

    async def claim(self, session: str) -> None:
        """Records that a new session belongs to this process.

        Raises:
            Problem: the session belongs to another process, or the name is taken.
        """
        ...

    def ended(self, session: str) -> None:
        """Records that a session of this process ended."""
        ...


class HashedOwners:
    """Sessions belong to the worker process that a hash of their name chooses.

    Args:
        number: number of this process.
        count: number of processes.
    """

    def __init__(self, number: int = 0, count: int = 1) -> None:
        self._number, self._count = number, count

    def new_id(self) -> str:
        """See `Owners.new_id`."""
        while True:
            id = new_name()
            if owner_of(id, self._count) == self._number:
                return id

    def check(self, session: str) -> None:
        """See `Owners.check`."""
        if owner_of(session, self._count) != self._number:
            raise Problem(
                421,
                f"the session {session!r} belongs to another worker process: open the WebSocket with "
                f"?session={session}, or fork to a name that the server chooses",
            )

    async def claim(self, session: str) -> None:
        """See `Owners.claim`."""
        self.check(session)

    def ended(self, session: str) -> None:
        """See `Owners.ended`."""


def new_name() -> str:
    """Returns a random name for a session."""
    return secrets.token_urlsafe(15)


def owner_of(session: str, workers: int) -> int:
    """Returns the number of the worker process that a session belongs to.

    Args:
        session: name of the session.
        workers: number of worker processes.
    """
    return zlib.crc32(session.encode()) % workers
