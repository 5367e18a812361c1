"""A cluster in one event loop: each message waits until the test delivers it, loses it or delays it.

Replicas have the real `Holdings`, the directory is the real `Directory`. The sessions are counters: a step is right if
its number is the count so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from recurra.serve.cluster.directory import Directory, Member, Place
from recurra.serve.cluster.holdings import Holdings
from recurra.serve.problems import Problem, busy

DELIVER, LOSE, DELAY = "deliver", "lose", "delay"
ALWAYS = ("beats", "waits", "sends leave", "gets the answer to leave")
"""Ends of the labels of messages that are always delivered. Without `leave`, a replica looks as if it had crashed."""


class CrashError(Exception):
    """The other side of a connection has ended."""


class Counter:
    """A session: the number of its steps."""

    model = "counter"

    def __init__(self, table: CounterTable, name: str, count: int) -> None:
        self.table, self.name, self.count, self.moving, self.grant = table, name, count, False, ""

    async def read(self) -> bytes:
        return str(self.count).encode()

    async def mark(self, grant: str) -> None:
        self.grant = grant

    async def drop(self, reason: str) -> None:
        if self.table.rows.get(self.name) is not self:
            raise Problem(410, "it is gone")
        del self.table.rows[self.name]
        self.table.ended(self.name)


class CounterTable:
    """The sessions of a replica."""

    def __init__(self) -> None:
        self.rows: dict[str, Counter] = {}
        self.ended: Callable[[str], None] = lambda session: None

    @asynccontextmanager
    async def sending(self, session: str) -> AsyncIterator[Counter]:
        if session not in self.rows:
            raise Problem(404, "there is no session")
        row = self.rows[session]
        if row.moving:
            raise busy("it is being moved")
        row.moving = True
        try:
            yield row
        finally:
            row.moving = False

    @asynccontextmanager
    async def receiving(self, model: str, session: str, data: bytes) -> AsyncIterator[Counter]:
        if session in self.rows:
            raise Problem(409, "there is a session already")
        row = self.rows[session] = Counter(self, session, int(data))
        row.moving = True
        try:
            yield row
        finally:
            row.moving = False

    async def drop(self, session: str, reason: str) -> None:
        row = self.rows.get(session)
        if row is not None and not row.moving:
            await row.drop(reason)


class FakeReplica:
    """A replica without HTTP. It decides about a request as `Replica` does.

    Args:
        world: the cluster.
        name: its name.
        folder: name of its state folder; empty without one.
        table: sessions in this folder.
    """

    def __init__(self, world: World, name: str, folder: str, table: CounterTable) -> None:
        self.world, self.name, self.folder, self.table = world, name, folder, table
        self.holdings = Holdings(name, self._ask, table, self._send, bool(folder), lambda: world.gate(f"{name} waits"))
        table.ended = self.holdings.ended
        for row in table.rows.values():
            row.moving = False
        self.alive, self.ready, self.drained, self.leaving = True, False, False, False
        self.running = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.start(self._live())

    def start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _ask(self, method: str, *arguments: Any) -> Any:
        self._check()
        await self.world.gate(f"{self.name} sends {method}", lambda: self._late(method, arguments))
        self._check()
        answer = await getattr(self.world.directory, method)(*arguments)
        await self.world.gate(f"{self.name} gets the answer to {method}")
        return answer

    def _check(self) -> None:
        if not self.alive:
            raise busy("this replica has ended")

    async def _late(self, method: str, arguments: Any) -> None:
        # a replica that joins or leaves sends nothing else meanwhile; a late claim only makes a name unusable
        if method not in ("join", "leave", "claim"):
            await getattr(self.world.directory, method)(*arguments)

    async def _send(self, address: str, session: str, copy: Any, token: str) -> bool:
        target = self.world.replicas.get(address)
        data = await copy.read()
        try:
            await self.world.gate(f"{self.name} sends {session}")
            if target is None or not target.alive or not await target._ask("is_offered", session, token):
                return False
            if not target.alive or target.leaving:
                return False
            taken = target.start(target.take(copy.model, session, token, data))
            taken.add_done_callback(lambda task: task.cancelled() or task.exception())
            ended = target.start(self.world.gate(f"{address} is too slow for {session}"))
            await asyncio.wait({taken, ended}, return_when=asyncio.FIRST_COMPLETED)
            self.world.drop_gate(ended)
            if not taken.done() or taken.cancelled() or taken.exception() is not None:
                return False
            await self.world.gate(f"{self.name} gets the confirmation of {session}")
        except Problem:
            return False
        return True

    async def take(self, *values: Any) -> None:
        """Takes a session; `leave` waits for it."""
        self.running += 1
        try:
            await self.holdings.take(*values)
        finally:
            self.running -= 1

    async def _live(self) -> None:
        self.holdings.found({name: row.grant for name, row in self.table.rows.items()})
        while not await self._is_done(self._join()):
            pass
        self.start(self._beat())
        while not await self._is_done(self._remaining()):
            pass
        self.ready = True
        self.holdings.confirmed()

    async def _beat(self) -> None:
        while True:
            await self.world.gate(f"{self.name} beats")
            with suppress(Problem):
                if not await self._ask("beat", self.name, self.leaving):
                    await self._join()

    async def _is_done(self, work: Any) -> bool:
        try:
            await work
        except Problem:
            return False
        return True

    async def _remaining(self) -> None:
        if await self._ask("remaining"):
            raise busy("the directory is new")

    async def _join(self) -> None:
        await self.holdings.join(Member(self.name, self.name, self.folder, self.leaving))

    async def leave(self) -> None:
        """Ends the replica in order."""
        self.leaving = True
        with suppress(Problem):
            await self._ask("beat", self.name, True)
        self.drained = True
        while self.running:
            await self.world.gate(f"{self.name} waits")
        await self.holdings.give_all()
        with suppress(Problem):
            await self.holdings.leave()
        self.end()

    def end(self) -> None:
        """Ends the replica at once."""
        self.alive = False
        for task in [*self.tasks, *self.holdings._tasks]:
            if task is not asyncio.current_task():
                task.cancel()

    async def request(self, session: str, seq: int | None, private: bool = False) -> int:
        """Serves a request as `Replica` does: a step, or the creation of the session if `seq` is None."""
        if not self.alive:
            raise CrashError
        if session not in self.holdings:
            try:
                place = await self.holdings.place(session, cached=not private)
            except Problem as problem:
                if problem.status != 410 or seq is not None:
                    raise
                place = Place()
            if place.replica not in ("", self.name):
                if private:
                    raise busy("it was moved")
                return await self._forward(session, seq, place)
        return await self._serve(session, seq)

    async def _forward(self, session: str, seq: int | None, place: Any) -> int:
        owner = self.world.replicas.get(place.address)
        try:
            await self.world.gate(f"{self.name} forwards {session}")
            if owner is None:
                raise CrashError
            found = await owner.request(session, seq, private=True)
            await self.world.gate(f"{self.name} gets the answer of {session}")
            return found
        except CrashError:
            self.holdings.misplaced(session)
            with suppress(Problem):
                await self._ask("suspect", place.replica)
            raise busy("its process is restarting") from None
        except Problem:
            self.holdings.misplaced(session)
            raise

    async def _serve(self, session: str, seq: int | None) -> int:
        if not self.alive:
            raise CrashError
        if self.drained:
            raise busy("the server is shutting down")
        if seq is None:
            self.running += 1
            try:
                await self.holdings.claim(session)
            except asyncio.CancelledError:
                if self.alive:
                    raise
                raise CrashError from None
            finally:
                self.running -= 1
            if session in self.table.rows:
                raise Problem(409, "there is a session already")
            self.table.rows[session] = Counter(self.table, session, 0)
            return 0
        row = self.table.rows.get(session)
        if row is None:
            raise Problem(404, "there is no session")
        if row.moving:
            raise busy("it is being moved")
        if seq not in (row.count, row.count - 1):
            raise Problem(409, f"seq {seq} does not follow {row.count}")
        row.count = seq + 1
        return row.count


class World:
    """The cluster.

    Args:
        kept: whether replicas have state folders.
    """

    def __init__(self, kept: bool = False) -> None:
        self.now, self.kept = 0.0, kept
        self.directory = Directory(lambda: self.now)
        self.replicas: dict[str, FakeReplica] = {}
        self.folders: dict[str, CounterTable] = {}
        self.gates: list[tuple[str, asyncio.Future[None], Any]] = []
        self.late: list[tuple[str, Any]] = []
        self.log: list[str] = []
        self.crashes = 0

    async def gate(self, label: str, late: Any = None) -> None:
        """Waits until the test delivers a message."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (label, future, late)
        self.gates.append(entry)
        try:
            await future
        finally:
            if entry in self.gates:
                self.gates.remove(entry)

    def drop_gate(self, task: asyncio.Task[Any]) -> None:
        """Ends a task that waits at a gate."""
        task.cancel()

    def add(self, folder: str = "") -> FakeReplica:
        """Starts a replica."""
        name = f"r{len(self.replicas)}"
        folder = (folder or name) if self.kept else ""
        table = self.folders.setdefault(folder, CounterTable()) if folder else CounterTable()
        self.replicas[name] = FakeReplica(self, name, folder, table)
        return self.replicas[name]

    @property
    def living(self) -> list[FakeReplica]:
        """Replicas that have not ended."""
        return [replica for replica in self.replicas.values() if replica.alive]

    @property
    def labels(self) -> list[str]:
        """Labels of the messages that wait."""
        return [label for label, *_ in self.gates]

    def crash_directory(self) -> None:
        """Replaces the directory by an empty one."""
        self.log.append("crash of the directory")
        self.directory = Directory(lambda: self.now)

    def crash(self, replica: FakeReplica) -> None:
        """Ends a replica; another one starts, with its state folder."""
        self.log.append(f"crash of {replica.name}")
        self.crashes += 1
        replica.end()
        self.add(replica.folder)

    def deliver(self, number: int, outcome: str = DELIVER) -> None:
        """Ends the wait of a message."""
        label, future, late = self.gates.pop(number)
        self.log.append(f"{outcome}: {label}")
        if future.done():
            return
        if outcome == DELIVER or label.endswith(ALWAYS) or " is too slow" in label:
            future.set_result(None)
            return
        if outcome == DELAY and late is not None:
            self.late.append((label, late))
        future.set_exception(busy("no answer"))

    async def settle(self) -> None:
        """Runs all that does not wait for messages."""
        for _ in range(12):
            await asyncio.sleep(0)

    def all_joined(self) -> bool:
        """Returns whether the directory knows all replicas."""
        return all(one.name in self.directory._members for one in self.living)

    def advance(self, seconds: float) -> None:
        """Advances the clock, unless a replica must join first: replicas that are silent for too long are given up."""
        if self.all_joined():
            self.now += seconds

    async def finish(self, done: Callable[[], bool], held: tuple[str, ...] = ()) -> None:
        """Delivers all messages in their order, except for those in `held`, until a condition is true."""
        for _ in range(5000):
            await self.settle()
            if done():
                return
            regular = [n for n, label in enumerate(self.labels) if " is too slow" not in label and label not in held]
            if regular:
                self.deliver(regular[0])
            self.advance(0.05)
        self.ensure(False, "it does not end")

    def check(self, counts: dict[str, int]) -> None:
        """Checks that each session is at one replica, with all its steps, and that the directory knows it."""
        for name, count in counts.items():
            owner = self.directory._sessions.get(name, ("nobody",))[0]
            if self.crashes and not self.kept and not (owner in self.replicas and self.replicas[owner].alive):
                continue
            homes = {one.name: one.table.rows[name].count for one in self.living if name in one.table.rows}
            self.ensure(homes == {owner: count}, f"{name} of {owner} has {count} steps, and replicas have {homes}")
            holders = [one.name for one in self.living if name in one.holdings]
            self.ensure(holders == [owner], f"{name} of {owner} is held by {holders}")

    def ensure(self, true: bool, text: str) -> None:
        """Fails with the log if a condition is not true."""
        if not true:
            raise AssertionError("\n".join([*self.log, text]))

    def close(self) -> None:
        """Ends all replicas."""
        for replica in self.replicas.values():
            replica.end()


class Stepper:
    """A client that sends steps of one session and repeats those that were refused with 503.

    Args:
        world: the cluster.
        session: name of the session.
        choose: chooses one of several values.
        may_end: whether the session may end with 404 or 410.
    """

    def __init__(self, world: World, session: str, choose: Callable[[Any], Any], may_end: Callable[[], bool]) -> None:
        self.world, self.session, self._choose, self._may_end = world, session, choose, may_end
        self.seq, self.ended, self.stopped, self.idle = -1, False, False, False

    async def run(self) -> None:
        """Begins the session, and sends steps until `stopped`."""
        created, repeated = False, False
        while not (self.ended or (self.stopped and created and not repeated)):
            ready = [one for one in self.world.living if one.ready and not one.leaving]  # the proxy may be late
            try:
                await self.world.gate(f"{self.session} has step {self.seq}")
                replica = self._choose([one for one in ready if one.alive] or [None])
                if replica is None:
                    continue
                found = await replica.request(self.session, self.seq if created else None)
                await self.world.gate(f"{self.session} gets the answer")
            except CrashError:
                repeated = True
                continue
            except Problem as problem:
                if problem.status == 409 and not created and repeated:  # the first of two equal requests
                    found = 0
                elif problem.status == 503:
                    repeated = True
                    continue
                else:
                    self.world.ensure(problem.status in (404, 410) and self._may_end(), f"{self.session}: {problem}")
                    self.ended = True
                    break
            created, repeated = True, False
            self.world.ensure(found == self.seq + 1, f"{self.session}: {found} steps instead of {self.seq + 1}")
            self.seq = found
        self.idle = True
