"""The sessions in memory: their slots, the order of their use, the time of their end, and why sessions ended."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice

from recurra.serve.problems import Problem
from recurra.serve.settings import Settings
from recurra.serve.state_file import StateInfo

from .slab import Slab
from .step_runner import Session

MAX_ENDED = 10_000
"""Ended sessions whose reason is remembered without a folder."""
SPARE_DEADLINES = 1000
"""Deadlines of ended sessions that are kept in any case."""
SWEEP = 1.0
"""Seconds between two searches for sessions to expire."""


class SessionTable:
    """The sessions in memory. All methods are called on the event loop.

    Args:
        slabs: states by model.
        settings: limits.
        saved: True if all states are on disk too, so that sessions may leave the memory.
    """

    def __init__(self, slabs: Mapping[str, Slab], settings: Settings, *, saved: bool) -> None:
        self._slabs, self._saved = slabs, saved
        self._idle, self._max_age, self._max_live = settings.idle, settings.max_age, settings.max_live
        self._live: OrderedDict[str, Session] = OrderedDict()  # least recently used first
        self._deadlines: list[tuple[float, str]] = []
        self._ended: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._live.values())

    def get(self, id: str) -> Session | None:
        """Returns a session, None if it is not in memory."""
        return self._live.get(id)

    def has(self, session: Session) -> bool:
        """Returns whether a session is in memory."""
        return self._live.get(session.id) is session

    def new(self, id: str, model: str, info: StateInfo, created: float, used: float) -> Session:
        """Returns a session with a slot, which is not in the table yet.

        Args:
            id: name of the session.
            model: name of the model.
            info: numbers of its state.
            created: time of its begin.
            used: time of its last step.
        """
        return Session(id, model, self._slabs[model].take(), info, created, used)

    def add(self, session: Session) -> None:
        """Adds a session of `new`. Others leave the memory if there are too many."""
        self._live[session.id] = session
        self._ended.pop(session.id, None)
        heapq.heappush(self._deadlines, (self.deadline(session.created, session.used), session.id))
        if len(self._deadlines) > 2 * len(self._live) + SPARE_DEADLINES:  # most are of sessions that ended or left
            self._deadlines = [(self.deadline(one.created, one.used), one.id) for one in self]
            heapq.heapify(self._deadlines)
        self.evict()

    def touch(self, session: Session) -> None:
        """Notes that a step of a session arrived."""
        session.used = time.time()
        self._live.move_to_end(session.id)

    def evict(self) -> None:
        """Frees slots of the least recently used sessions, if there are too many. Their states are on disk."""
        count = len(self._live) - self._max_live
        if not self._saved or count <= 0:
            return
        for session in list(islice((one for one in self if not one.in_use), count)):
            del self._live[session.id]
            self._slabs[session.model].free(session.slot)

    def end(self, session: Session, reason: str) -> None:
        """Ends a session in memory."""
        session.gone = True
        del self._live[session.id]
        self.release(session)
        self._ended[session.id] = reason
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def release(self, session: Session) -> None:
        """Frees the slot of a session that ended, after the last computation that uses it."""
        if session.gone and not session.busy:
            self._slabs[session.model].free(session.slot)

    def gone(self, id: str, reason: str | None = None) -> Problem:
        """Returns the answer to a request for a session that there is not.

        Args:
            id: name of the session.
            reason: why it ended, if that is known.
        """
        reason = reason or self._ended.get(id)
        if reason is None:
            return Problem(404, f"there is no session {id!r}")
        return Problem(410, f"the session {id!r} ended: {reason}", reason=reason)

    # expiry

    def deadline(self, created: float, used: float) -> float:
        """Returns the time at which a session ends."""
        return min(used + self._idle, created + self._max_age)

    def is_expired(self, session: Session) -> bool:
        """Returns whether the time of a session is over."""
        return not session.in_use and self.deadline(session.created, session.used) < time.time()

    def reason(self, created: float, used: float) -> str:
        """Returns why the time of a session is over."""
        if used + self._idle <= created + self._max_age:
            return f"no step arrived for {self._idle:g} seconds (--idle)"
        return f"it was {self._max_age:g} seconds old (--max-age)"

    def expired(self, now: float) -> Iterator[Session]:
        """Yields the sessions whose time is over, which the caller ends."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, id = heapq.heappop(self._deadlines)
            session = self._live.get(id)
            if session is None:
                continue
            deadline = self.deadline(session.created, session.used)
            if deadline > now or session.in_use:
                heapq.heappush(self._deadlines, (max(deadline, now) + SWEEP * session.in_use, id))
            else:
                yield session
