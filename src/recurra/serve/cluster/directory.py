"""The directory: which replica has which session."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from typing import NamedTuple

BEAT = 1.0
"""Seconds between two messages of a replica to the directory."""
DEAD = 4.0
"""A replica without messages for this time, to which no connection is possible, has ended."""
LOST = 15.0
"""Seconds after the end of a replica until its sessions are given up. It may still work and join again."""
MAX_ENDED = 100_000
"""Ended sessions whose replica is remembered, so that clients get the reason."""


class Place(NamedTuple):
    """Place of a session.

    Attributes:
        replica: name of the replica; empty if the session is not known.
        address: host and port of the replica; empty if it ended.
        known: False if the directory has just started and does not know all sessions yet, or if the replica ended a
            moment ago.
    """

    replica: str = ""
    address: str = ""
    known: bool = True


class Directory:
    """Replicas by name, and the replica of each session. Its methods run one at a time."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._addresses: dict[str, str] = {}
        self._beats: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._owners: dict[str, str] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._offers: dict[str, str] = {}

    async def join(self, replica: str, address: str, sessions: list[str]) -> None:
        """Adds a replica and its sessions.

        Args:
            replica: name of the replica.
            address: its host and port.
            sessions: names of its sessions.
        """
        self._left.pop(replica, None)
        self._addresses[replica] = address
        self._beats[replica] = time.monotonic()
        self._owners.update(dict.fromkeys(sessions, replica))

    async def beat(self, replica: str) -> bool:
        """Records that a replica works. Returns False if the replica must join again."""
        self._beats[replica] = time.monotonic()
        return replica in self._addresses

    async def leave(self, replica: str) -> None:
        """Removes a replica."""
        self._addresses.pop(replica, None)
        self._beats.pop(replica, None)
        self._left[replica] = time.monotonic()

    async def suspect(self, replica: str) -> None:
        """Removes a replica that cannot be reached, if it also sends no messages."""
        if time.monotonic() - self._beats.get(replica, 0.0) > DEAD:
            await self.leave(replica)

    async def others(self, replica: str) -> list[str]:
        """Returns the addresses of the other replicas that work."""
        now = time.monotonic()
        working = {name for name, beat in self._beats.items() if now - beat < DEAD}
        return [address for name, address in self._addresses.items() if name != replica and name in working]

    async def offer(self, session: str, replica: str) -> str:
        """Allows that another replica takes a session.

        Returns:
            The token that the replica sends with the session.
        """
        self._owners[session] = replica
        self._offers[session] = secrets.token_hex()
        return self._offers[session]

    async def is_offered(self, session: str, token: str) -> bool:
        """Returns whether a replica offered the session with this token."""
        return hmac.compare_digest(self._offers.get(session, "").encode(), token.encode()) and token != ""

    async def claim(self, session: str, replica: str, moved: bool = False) -> bool:
        """Gives a session to a replica.

        Args:
            session: name of the session.
            replica: name of the replica.
            moved: whether another replica offered the session.

        Returns:
            False if another replica has the session.
        """
        owner = self._owners.get(session)
        if owner not in (None, replica) and not moved:
            return False
        self._offers.pop(session, None)
        self._owners[session] = replica
        self._ended.pop(session, None)
        return True

    async def ended(self, session: str, replica: str) -> None:
        """Removes a session of a replica."""
        if self._owners.get(session) != replica:
            return
        del self._owners[session]
        self._ended[session] = replica
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    async def find(self, session: str) -> Place:
        """Returns the place of a session."""
        replica = self._owners.get(session)
        if replica is None:
            replica = self._ended.get(session, "")
            if replica not in self._addresses:
                return Place(known=time.monotonic() - self._started > 2 * BEAT)
        address = self._addresses.get(replica, "")
        if not address and time.monotonic() - self._left.get(replica, 0.0) < LOST:
            return Place(known=False)
        return Place(replica, address)
