"""The sessions of one replica, and its part of the protocol of `directory`."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

from recurra.serve.owners import new_name
from recurra.serve.problems import Problem, busy

from .directory import BEAT, Answer, Holding, Member, Place, new_grant

log = logging.getLogger("recurra.serve")

Ask = Callable[..., Awaitable[Any]]
"""Calls a method of the directory: `await ask("find", session)`. It raises a `Problem` if there is no answer, but the
message may have had its effect nevertheless."""

MOVED = "it was moved to another replica"
_MAX_PLACES = 100_000
"""Places of sessions that are remembered."""
_MOVED_TOGETHER = 16
"""Sessions that are sent to other replicas at a time."""


class Copy(Protocol):
    """A session that refuses steps because it is being moved."""

    model: str

    async def read(self) -> bytes:
        """Returns its state."""
        ...

    async def mark(self, grant: str) -> None:
        """Records its grant in the state folder, if there is one."""
        ...

    async def drop(self, reason: str) -> None:
        """Removes it from this process."""
        ...


class Table(Protocol):
    """The sessions of a process."""

    def sending(self, session: str) -> AbstractAsyncContextManager[Copy]:
        """Yields a session, which refuses steps while the block runs.

        Raises:
            Problem: there is no session of this name (404, 410), or steps of it are being computed (503).
        """
        ...

    def receiving(self, model: str, session: str, data: bytes) -> AbstractAsyncContextManager[Copy]:
        """Begins a session, which refuses steps while the block runs.

        Raises:
            Problem: the state cannot be used, or there are too many sessions.
        """
        ...

    async def drop(self, session: str, reason: str) -> None:
        """Removes a session, if it exists."""
        ...


Send = Callable[[str, str, Copy, str], Awaitable[bool]]
"""Sends a session to an address, with a token: `await send(address, session, copy, token)`. Returns whether the other
replica confirmed that it has the session; if not, it may nevertheless have it."""


class Holdings:
    """The sessions of a replica; decides as `Owners` which sessions the process may run.

    A session is here exactly if it has a grant here. A message to the directory and the record of its answer are one
    unit: `join` waits for open messages, so that its report contains what the directory has decided.

    Args:
        name: name of the replica.
        ask: calls a method of the directory.
        table: the sessions.
        send: sends a session to another replica.
        kept: whether sessions continue from a state folder if their replica ends.
        pause: waits before a question is repeated that the directory cannot answer yet.
    """

    def __init__(
        self,
        name: str,
        ask: Ask,
        table: Table,
        send: Send,
        kept: bool = False,
        pause: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(BEAT / 4),
    ) -> None:
        self._name, self._ask, self._table, self._send = name, ask, table, send
        self._kept, self._pause = kept, pause
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._grants: dict[str, str] = {}
        self._moving: dict[str, tuple[str, str]] = {}
        self._arriving: dict[str, str] = {}
        self._found: set[str] = set()
        self._claiming: set[str] = set()
        self._messages, self._quiet, self._open = 0, asyncio.Event(), asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._grants)

    def __contains__(self, session: str) -> bool:
        return session in self._grants

    async def place(self, session: str, cached: bool = True) -> Place:
        """Returns the place of a session that is not here.

        Args:
            session: name of the session.
            cached: whether an earlier answer of the directory may be used.

        Raises:
            Problem: the session is being moved, or its replica ended.
        """
        place = self._places.get(session) if cached else None
        if place is None:
            place = Place(*await self._ask("find", session))
            if place.address and place.replica != self._name:
                self._places[session] = place
                if len(self._places) > _MAX_PLACES:
                    self._places.popitem(last=False)
        if session in self._arriving or not place.known:
            raise busy("the session is being moved, or replicas are starting")
        if place.replica and not place.address:
            if self._kept:
                raise busy("the replica that has this session is being replaced")
            reason = "its replica ended unexpectedly"
            raise Problem(410, f"the session {session!r} ended: {reason}", reason=reason)
        return place

    def misplaced(self, session: str) -> None:
        """Forgets the place of a session."""
        self._places.pop(session, None)

    # owners of sessions, see `recurra.serve.owners.Owners`

    def new_id(self) -> str:
        """See `Owners.new_id`."""
        return new_name()

    def check(self, session: str) -> None:
        """Accepts each session: the table has own sessions only, and `claim` refuses names that are taken."""

    async def claim(self, session: str) -> None:
        """See `Owners.claim`."""
        if session in self._grants:
            return
        if session in self._claiming or session in self._arriving:
            raise busy(f"the session {session!r} is being created or moved")
        self._claiming.add(session)
        await asyncio.shield(self._start(self._claim(session)))  # also if the client leaves

    async def _claim(self, session: str) -> None:
        grant = new_grant()
        try:
            async with self._message():
                answer = await self._ask("claim", session, self._name, grant)
                if answer == Answer.YES:
                    self._grants[session] = grant
        finally:
            self._claiming.discard(session)
        if answer == Answer.LATER:
            raise busy("the replicas are starting")
        if answer == Answer.NO:
            raise Problem(409, f"there is a session {session!r} already", ("session",))

    def ended(self, session: str) -> None:
        """See `Owners.ended`."""
        if session in self._arriving:
            return
        grant = self._grants.pop(session, None)
        if grant is not None:
            self._start(self._report_end(session, grant))

    async def _report_end(self, session: str, grant: str) -> None:
        try:
            async with self._message():
                await self._ask("ended", session, self._name, grant)
        except Problem as problem:  # the directory learns it when this replica joins again
            log.warning("the directory was not told that a session ended: %s", problem)

    # messages

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the client that waited for it may have left

    @asynccontextmanager
    async def _message(self) -> AsyncIterator[None]:
        """Surrounds a message that changes the directory, and the record of its answer."""
        while not self._open.is_set():
            await self._open.wait()
        self._messages += 1
        try:
            yield
        finally:
            self._messages -= 1
            if not self._messages:
                self._quiet.set()

    async def join(self, member: Member) -> None:
        """Reports all sessions to a directory, and deletes those that another replica has.

        Raises:
            Problem: the directory does not answer.
        """
        self._open.clear()
        try:
            while self._messages:
                self._quiet.clear()
                await self._quiet.wait()
            report = {
                name: Holding(grant, *self._moving.get(name, ("", "")), name in self._found)
                for name, grant in self._grants.items()
            }
            arriving = {name: token for name, token in self._arriving.items() if name not in self._grants}
            lost = await self._ask("join", member, report, arriving)
            for session in lost:
                self._grants.pop(session, None)
        finally:
            self._open.set()
        for session in lost:
            await self._table.drop(session, MOVED)

    async def leave(self) -> None:
        """Reports the sessions that stay with this replica, which ends."""
        async with self._message():
            await self._ask("leave", self._name, [*self._grants, *self._arriving])

    def found(self, sessions: Mapping[str, str]) -> None:
        """Adds sessions of a state folder with the grants recorded there, before the replica joins."""
        self._found.update(sessions)
        self._grants.update((session, grant or new_grant()) for session, grant in sessions.items())

    def confirmed(self) -> None:
        """Records that the directory knows all replicas. It has told which of the found sessions are old copies."""
        self._found.clear()

    # moves

    async def give_all(self) -> None:
        """Sends all sessions to other replicas; waits until there are some."""
        for attempt in itertools.count():
            if not self._grants:
                return
            targets: list[tuple[str, str]] = []
            with suppress(Problem):
                targets = [(name, address) for name, address in await self._ask("others", self._name)]
            if targets:
                slots, names = asyncio.Semaphore(_MOVED_TOGETHER), list(self._grants)
                moves = [self.give(name, *targets[(attempt + n) % len(targets)], slots) for n, name in enumerate(names)]
                log.info("%d of %d sessions were moved", sum(await asyncio.gather(*moves)), len(names))
            if self._grants:
                await self._pause()

    async def give(self, session: str, target: str, address: str, slots: Any) -> bool:
        """Sends a session to another replica.

        Args:
            session: name of the session.
            target: name of the replica.
            address: its address.
            slots: limits the number of sessions that are sent at a time.

        Returns:
            False if the session is still here.
        """
        try:
            async with slots, self._table.sending(session) as copy:
                done = await self._give(session, copy, target, address)
        except Problem as problem:
            if problem.status not in (404, 410):
                log.warning("a session could not be moved: %s", problem)
                return False
            self.ended(session)  # it had expired on disk
            return True
        return done

    async def _give(self, session: str, copy: Copy, target: str, address: str) -> bool:
        token = new_grant(self._grants.get(session, ""))
        done = await self._offer(session, target, token) and await self._send(address, session, copy, token)
        if done:
            self._moved(session)
        else:
            grant = new_grant(token)
            done = await self._decide(self._withdraw, session, grant) == Answer.NO
            if not done:
                await copy.mark(grant)
        if done:
            await copy.drop(MOVED)
        return done

    async def _offer(self, session: str, target: str, token: str) -> bool:
        try:
            async with self._message():
                grant = self._grants.get(session, "")
                self._moving[session] = target, token
                answer = await self._ask("offer", session, self._name, grant, target, token)
        except Problem:
            return False
        return answer == Answer.YES

    async def _withdraw(self, session: str, grant: str) -> Answer:
        async with self._message():
            answer = await self._ask("withdraw", session, self._name, grant)
            if answer == Answer.YES:
                self._grants[session] = grant
                self._moving.pop(session, None)
            elif answer == Answer.NO:
                self._moved(session)
        return answer

    def _moved(self, session: str) -> None:
        self._grants.pop(session, None)
        self._moving.pop(session, None)

    async def _decide(self, question: Callable[..., Awaitable[Answer]], *values: str) -> Answer:
        """Repeats a question until the directory answers it."""
        while True:
            try:
                answer = await question(*values)
            except Problem:
                answer = Answer.LATER
            if answer != Answer.LATER:
                return answer
            await self._pause()

    async def take(self, model: str, session: str, token: str, data: bytes) -> None:
        """Begins a session that another replica sends.

        Raises:
            Problem: the session cannot be used here, or the other replica has withdrawn it.
        """
        if session in self._arriving:
            raise busy("the session is being moved")
        self._arriving[session] = token
        try:
            async with self._table.receiving(model, session, data) as copy:
                await copy.mark(token)
                if await self._decide(self._accept, session, token) == Answer.NO:
                    await copy.drop("its move was withdrawn")
                    raise Problem(409, "the session was withdrawn")
        finally:
            del self._arriving[session]

    async def _accept(self, session: str, token: str) -> Answer:
        async with self._message():
            answer = await self._ask("accept", session, self._name, token)
            if answer == Answer.YES:
                self._grants[session] = token
        return answer
