"""The directory: which replica has which session. It alone decides who has it.

A period in which a replica has a session has a name, the grant: a number, which rises with each period of the session,
and random digits. Each message about a session names the grant that it is about, so that a late message cannot change a
later period. A message that arrives twice has the effect of one. A session has one of these states:

- **unknown**: a replica may `claim` it. The first claim begins a grant.
- **owned by A**: requests are forwarded to A. `ended` of A with this grant makes the session unknown.
- **moving from A to B**: A called `offer`, with the grant that B will have. Requests get 503: A computes no steps of
  the session, and B does not use it yet. `accept` of B makes it *owned by B*. `withdraw` of A makes it *owned by A*,
  with a new grant. The first of the two messages decides, and the other one is answered with `NO`. A asks with
  `withdraw` whenever B did not confirm the move.
- **arriving at B**: a new directory knows from B that the session moves, and no other replica has reported it. Requests
  get 503. If another replica reports the session, the report decides. If none does so for `RECOVERY` seconds, `accept`
  of B makes it *owned by B*.

If a replica or the directory ends:

- **A, owned**: requests get 503 for `LOST` seconds, as A may still work; afterwards 410. With a state folder they get
  503 until a replacement of A joins, which takes over the sessions in the folder.
- **A, moving**: as owned, but `accept` of B is still possible until a replacement of A joins.
- **B, moving**: A does not get an answer from B, and withdraws. If B had accepted, the session ends with B.
- **the directory**: the new one knows nothing. Replicas join again and report grants and moves, which is all that the
  earlier directory knew of them. For `RECOVERY` seconds the directory answers questions that another replica may
  still have to decide with `LATER`. Decisions of the earlier directory hold: a session that B accepted is reported by
  B with the grant of the move, and wins over the move that A reports. If B received a session, but not the answer to
  `accept`, it asks again: the new directory decides between `accept` and `withdraw`.
- **the directory and B, moving**: state folders contain grants. The replacement of B reports the session with the grant
  of the move, which wins as if B had reported it, or with a later one. If no replacement joins for `LOST` seconds, A
  continues with its copy, and steps that B had answered are lost.
- **the directory, A and B, moving**: of two copies in state folders, the one with the higher number wins, if both are
  reported within `RECOVERY` seconds. The first one wins otherwise.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

BEAT = 1.0
"""Seconds between two messages of a replica to the directory."""
DEAD = 4.0
"""A replica without messages for this time, to which no connection is possible, has ended."""
LOST = 15.0
"""Seconds after the end of a replica until its sessions are given up. It may still work and join again."""
RECOVERY = 4.0
"""Seconds in which all replicas join a new directory."""
MAX_ENDED = 100_000
"""Ended sessions whose replica is remembered, so that clients get the reason."""

NUMBER = 8
"""Digits of the number at the beginning of a grant."""


class Answer(StrEnum):
    """Answer of the directory; `LATER`: it cannot decide yet, or the replica must join first."""

    YES = "yes"
    NO = "no"
    LATER = "later"


class Place(NamedTuple):
    """Place of a session.

    Attributes:
        replica: name of the replica; empty if the session is not known.
        address: host and port of the replica; empty if it ended.
        known: False if the session is moving, if the directory does not know all sessions yet, or if the replica ended
            a moment ago.
    """

    replica: str = ""
    address: str = ""
    known: bool = True


class Holding(NamedTuple):
    """A session of a replica.

    Attributes:
        grant: name of the period in which the replica has the session; empty if the session arrives there.
        target: name of the replica that the session moves to; empty if it does not move.
        token: grant of the target, which is a secret between the three parties; empty if the session does not move.
        found: True if a new replica found the session in its state folder. It may be an old copy, which the earlier
            replica had sent to another one. A new directory waits for a report of the other one.
    """

    grant: str
    target: str = ""
    token: str = ""
    found: bool = False


def _number(grant: str) -> int:
    return int(grant[:NUMBER] or "0", 16)


def _has_moved(moving: Holding, other: Holding) -> bool:
    """Returns whether another replica has a session because the target of a move, or a later one, accepted it."""
    return moving.token != "" and _number(moving.token) <= _number(other.grant)


def new_grant(earlier: str = "") -> str:
    """Returns a name for a period in which a replica has a session.

    Args:
        earlier: name of the period before; empty for the first one.
    """
    return f"{_number(earlier) + 1:0{NUMBER}x}{secrets.token_hex(16)}"


NOTHING = Holding("")
EMPTY: Mapping[str, str] = MappingProxyType({})


class Member(NamedTuple):
    """A replica.

    Attributes:
        name: random name of the process.
        address: host and port for the other replicas.
        folder: name of its state folder; empty without one. A replica takes over the sessions of the earlier one.
        leaving: True if it takes no sessions of others.
    """

    name: str
    address: str
    folder: str = ""
    leaving: bool = False


class Directory:
    """Replicas by name, and the replica of each session. Its methods run one at a time.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = self._last = clock()
        self._members: dict[str, Member] = {}
        self._beats: dict[str, float] = {}
        self._left: dict[str, tuple[float, Member]] = {}
        self._folders: dict[str, str] = {}
        self._sessions: dict[str, tuple[str, Holding]] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()

    # replicas

    async def join(
        self, member: Member, sessions: Mapping[str, Holding], arriving: Mapping[str, str] = EMPTY
    ) -> list[str]:
        """Adds a replica and its sessions.

        Args:
            member: the replica.
            sessions: its sessions by name.
            arriving: tokens of sessions for which it has no answer to `accept` yet.

        Returns:
            The sessions that another replica has. The replica must delete its copies.
        """
        member = Member(*member)
        reports = {name: self._decided(name, member.name, Holding(*holding)) for name, holding in sessions.items()}
        self._forget(member.name, arriving)
        earlier = self._folders.get(member.folder, member.name)
        if earlier != member.name:  # it has ended, as the lock of the folder is free
            self._forget(earlier)
        if member.folder:
            self._folders[member.folder] = member.name
        self._members[member.name] = member
        self._record(member.name)
        for session, token in arriving.items():
            if session not in self._sessions and session not in self._ended:
                self._sessions[session] = member.name, Holding("", member.name, token)
        return [name for name, holding in reports.items() if not self._admit(name, member.name, holding)]

    def _decided(self, session: str, replica: str, reported: Holding) -> Holding:
        """Returns the report of a session without its move if the move was withdrawn and the answer was lost."""
        withdrawn = self._holding(session, replica).grant not in ("", reported.grant)
        return reported._replace(target="", token="") if withdrawn else reported

    def _forget(self, replica: str, arriving: Mapping[str, str] = EMPTY) -> None:
        """Removes a replica and its sessions, except for those that it has accepted without knowing it."""
        self._keep(replica, [one for one, token in arriving.items() if self._holding(one, replica).grant == token])
        self._remove(replica)
        self._left.pop(replica, None)

    def _keep(self, replica: str, sessions: Collection[str]) -> None:
        for name in [one for one, (owner, _) in self._sessions.items() if owner == replica and one not in sessions]:
            del self._sessions[name]

    def _holding(self, session: str, replica: str) -> Holding:
        """Returns the holding of a replica; an empty one if it does not have the session."""
        owner, holding = self._sessions.get(session, ("", NOTHING))
        return holding if owner == replica else NOTHING

    def _admit(self, session: str, replica: str, new: Holding) -> bool:
        """Records a session that a replica reports. Returns False if another replica has it."""
        owner, old = self._sessions.get(session, (replica, new))
        if owner != replica and old.grant and not self._is_lost(owner):
            if _has_moved(new, old):
                return True  # `withdraw` will tell
            if self._is_doubtful(old) and (not new.found or _number(new.grant) > _number(old.grant)):
                self._remove(owner)  # it joins again, and deletes its copy
            elif not _has_moved(old, new):
                return False
        self._sessions[session] = replica, new
        self._ended.pop(session, None)
        return True

    async def beat(self, replica: str, leaving: bool = False) -> bool:
        """Records that a replica works, and whether it is about to end. Returns False if it must join again."""
        if replica not in self._members:
            return False
        self._members[replica] = self._members[replica]._replace(leaving=leaving)
        self._record(replica)
        return True

    def _record(self, replica: str) -> None:
        self._beats[replica] = self._last = self._clock()

    async def leave(self, replica: str, sessions: Collection[str]) -> None:
        """Removes a replica and its sessions, except for those that it still has."""
        self._keep(replica, set(sessions))
        self._remove(replica)

    async def suspect(self, replica: str) -> None:
        """Removes a replica that cannot be reached, if it also sends no messages."""
        if self._silence(replica) > DEAD:
            self._remove(replica)

    async def others(self, replica: str) -> list[tuple[str, str]]:
        """Returns names and addresses of the other replicas that work and take sessions."""
        return [
            (member.name, member.address)
            for member in self._members.values()
            if member.name != replica and not member.leaving and self._silence(member.name) < DEAD
        ]

    def unused(self) -> float:
        """Returns the seconds since the last message of a replica."""
        return self._clock() - self._last

    async def remaining(self) -> float:
        """Returns the seconds until the directory knows all sessions."""
        return max(0.0, self._started + RECOVERY - self._clock())

    def _silence(self, replica: str) -> float:
        return self._clock() - self._beats.get(replica, float("-inf"))

    def _remove(self, replica: str) -> None:
        member = self._members.pop(replica, None)
        self._beats.pop(replica, None)
        if member is not None:
            self._left[replica] = self._clock(), member

    def _is_lost(self, replica: str) -> bool:
        """Returns whether the sessions of a replica are given up."""
        if replica in self._members or replica not in self._left:
            return False
        time, member = self._left[replica]
        return not member.folder and self._clock() - time >= LOST

    def _is_doubtful(self, holding: Holding) -> bool:
        return holding.found and self._recovering

    @property
    def _recovering(self) -> bool:
        return self._clock() - self._started < RECOVERY

    # sessions

    async def claim(self, session: str, replica: str, grant: str) -> Answer:
        """Gives a new session to a replica; `NO` if another replica has it."""
        if replica not in self._members or (self._recovering and session not in self._sessions):
            return Answer.LATER
        owner, _ = self._sessions.get(session, (replica, None))
        if owner != replica and not self._is_lost(owner):
            return Answer.NO
        self._sessions[session] = replica, Holding(grant)
        self._ended.pop(session, None)
        return Answer.YES

    async def ended(self, session: str, replica: str, grant: str) -> None:
        """Removes a session of a replica."""
        if self._holding(session, replica).grant != grant:
            return
        del self._sessions[session]
        self._ended[session] = replica
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    async def offer(self, session: str, replica: str, grant: str, target: str, token: str) -> Answer:
        """Begins to move a session; `NO` if the replica does not have it."""
        if replica not in self._members or target not in self._members:
            return Answer.LATER
        holding = self._holding(session, replica)
        if not grant or holding.grant != grant:
            return Answer.NO
        if self._is_doubtful(holding):
            return Answer.LATER
        self._sessions[session] = replica, Holding(grant, target, token)
        return Answer.YES

    async def is_offered(self, session: str, token: str) -> bool:
        """Returns whether a replica offered the session with this token."""
        _, holding = self._sessions.get(session, ("", NOTHING))
        return token != "" and hmac.compare_digest(holding.token.encode(), token.encode())

    async def accept(self, session: str, replica: str, token: str) -> Answer:
        """Gives a moving session to its target; `NO` if it was withdrawn."""
        if replica not in self._members:
            return Answer.LATER
        owner, holding = self._sessions.get(session, ("", NOTHING))
        if not holding.grant and self._recovering and session not in self._ended:
            return Answer.LATER
        if holding.target == replica and holding.token == token:
            self._sessions[session] = replica, Holding(token)
            return Answer.YES
        if owner == replica and holding.grant == token:
            return Answer.YES
        return Answer.NO

    async def withdraw(self, session: str, replica: str, grant: str) -> Answer:
        """Ends the move of a session and begins a new grant; `NO` if the target has accepted the session."""
        if replica not in self._members:
            return Answer.LATER
        owner, holding = self._sessions.get(session, ("", NOTHING))
        if owner != replica:
            return Answer.NO
        if holding.target not in ("", *self._members) and self._clock() - self._started < LOST:
            return Answer.LATER  # a replacement of the target may have the session
        self._sessions[session] = replica, Holding(grant)  # an offer with the earlier grant that is late has no effect
        return Answer.YES

    async def find(self, session: str) -> Place:
        """Returns the place of a session."""
        if session not in self._sessions:
            replica = self._ended.get(session, "")
            member = self._members.get(replica)
            return Place(known=not self._recovering) if member is None else Place(replica, member.address)
        owner, holding = self._sessions[session]
        if holding.target and self._silence(owner) > LOST:  # requests are not forwarded to it, so no other one notices
            self._remove(owner)
        if owner in self._members:
            unclear = holding.target or self._is_doubtful(holding)
            return Place(known=False) if unclear else Place(owner, self._members[owner].address)
        left, _ = self._left.get(owner, (0.0, None))
        return Place(known=False) if self._clock() - left < LOST else Place(owner)
