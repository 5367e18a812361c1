"""Sessions: sequences that arrive step by step, with a state on the server.

The event loop owns the table of sessions. It accepts steps, keeps their order and expires sessions. The engine thread
owns states: it advances one step of many sessions in one call, and saves them before the answers are sent.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from .batching import Batcher, EngineThread
from .metrics import Metrics
from .models import ServedModel
from .owners import HashedOwners, Owners
from .problems import Problem, busy
from .settings import Settings
from .state_file import SessionState, StateInfo
from .stepping import Done, Session, Step, StepRunner, Waiting
from .store import Store

MAX_PIPELINED = 256
"""Steps of one session that may wait."""
MAX_ENDED = 10_000
"""Ended sessions whose reason is remembered without a folder."""
EXPIRED_TOGETHER = 100
"""Sessions that are removed from disk in one turn of the engine thread, which takes milliseconds."""
SPARE_DEADLINES = 1000
"""Deadlines of ended sessions that are kept in any case."""
LOADED = 0.05
"""Seconds for which a session from disk stays in memory in any case."""
SWEEP = 1.0
"""Seconds between two searches for sessions to expire."""


class Sessions:
    """All sessions of a server process.

    Args:
        models: the models by name.
        engine: the engine thread.
        batcher: batches of steps.
        settings: limits.
        metrics: counts sessions.
        store: sessions on disk; None to keep them in memory only.
        worker: number of this process and number of processes.

    Attributes:
        owners: decides which sessions belong to this process.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        engine: EngineThread,
        batcher: Batcher,
        settings: Settings,
        metrics: Metrics,
        store: Store | None = None,
        worker: tuple[int, int] = (0, 1),
    ) -> None:
        self._models, self._engine, self._batcher = models, engine, batcher
        self._settings, self._metrics, self._store = settings, metrics, store
        self.owners: Owners = HashedOwners(*worker)
        # short work runs on the event loop, unless it waits for the disk
        self._do = engine.call if store is not None and settings.durability == "power" else engine.quick
        self._runner = StepRunner(models, store)
        self._slabs = self._runner.slabs
        self._live: OrderedDict[str, Session] = OrderedDict()  # least recently used first
        self._loading: dict[str, asyncio.Future[Session]] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._saved = 0 if store is None else store.count()

    # sessions

    async def create(self, model: str, options: Mapping[str, Any], id: str | None = None) -> Session:
        """Begins a session.

        Args:
            model: name of the model.
            options: options of `Stepper.start`.
            id: name of the session; None for a random one.

        Raises:
            Problem: the model has no sessions, the name is taken, or there are too many sessions.
        """
        stepper = self._stepper(model)
        states = await self._do(lambda: stepper.start(1, **options))
        return await self._add(model, SessionState(states, StateInfo(self._models[model].fingerprint, 0, 0)), id)

    @asynccontextmanager
    async def held(self, model: str, id: str) -> AsyncIterator[Session]:
        """Yields a session, from disk if it is not in memory. It stays in memory while the block runs.

        Raises:
            Problem: there is no session of this name (404), it ended (410), or it belongs to another process (421).
        """
        session = await self._find(model, id)
        while not self.is_live(session):  # others that came from disk took its place
            session = await self._find(model, id)
        session.holds += 1
        try:
            yield session
        finally:
            session.holds -= 1

    async def _find(self, model: str, id: str) -> Session:
        self.owners.check(id)
        session = self._live.get(id)
        if session is not None and not self._in_use(session) and self._deadline(session) < time.time():
            await self._expire_live(session)
            session = None
        if session is None:
            session = await self._load(id)
        if session.model != model:
            raise Problem(404, f"the session {id!r} belongs to the model {session.model!r}")
        return session

    async def fork(self, session: Session, id: str | None = None) -> Session:
        """Begins a session with the state of another one after its last answered step."""
        return await self._add(session.model, await self.state(session), id)

    async def state(self, session: Session) -> SessionState:
        """Returns the state of a session after its last answered step."""
        return await self._do(self._runner.read_state, session)

    async def replace(self, model: str, id: str, state: SessionState) -> Session:
        """Sets the state of a session; begins the session if there is none of this name.

        Raises:
            Problem: steps of the session are being computed.
        """
        try:
            async with self.held(model, id) as session:
                if session.busy:
                    raise Problem(409, "steps of this session are being computed: wait for their answers")
                await self._replace(session, state)
                return session
        except Problem as problem:
            if problem.status not in (404, 410) or id in self._live:
                raise
        return await self._add(model, state, id)

    async def _replace(self, session: Session, state: SessionState) -> None:
        session.busy, session.replacing = session.busy + 1, True  # a step would mix the old and the new numbers
        try:
            await self._do(self._runner.write_state, session, state)
        finally:
            session.busy, session.replacing = session.busy - 1, False
            session.accepted = session.seq
            self._release(session)
        if session.gone:
            raise Problem(409, f"the session {session.id!r} was ended while its state was set")
        self._touch(session)

    async def delete(self, session: Session, reason: str = "the client deleted it") -> None:
        """Ends a session in memory, see `held`.

        Raises:
            Problem: the session is not in memory.
        """
        if not self.is_live(session):
            raise self._gone(session.id)
        self._remove(session, reason, "deleted")
        if self._store is not None:
            await self._do(self._store.delete, [session.id], reason)
            self._saved -= 1

    def is_live(self, session: Session) -> bool:
        """Returns whether a session is in memory."""
        return self._live.get(session.id) is session

    def is_known(self, id: str) -> bool:
        """Returns whether there is a session of this name in memory."""
        return id in self._live

    async def names(self) -> list[str]:
        """Returns the names of all sessions, in memory and on disk."""
        return list(self._live) if self._store is None else await self._do(self._store.names)

    async def model_of(self, id: str) -> str:
        """Returns the model of a session.

        Raises:
            Problem: there is no session of this name.
        """
        session = self._live.get(id) or await self._load(id)
        return session.model

    @property
    def count(self) -> int:
        """Number of sessions, in memory and on disk."""
        return len(self._live) if self._store is None else max(self._saved, len(self._live))

    @property
    def live(self) -> int:
        """Number of sessions in memory."""
        return len(self._live)

    @property
    def running(self) -> int:
        """Number of steps that are accepted and not answered."""
        return sum(len(session.queue) for session in self._live.values())

    # steps

    def step(self, session: Session, seq: int | None, item: Any, done: Done, *, json: bool = True) -> int:
        """Accepts a step. The result or an error is given to `done`, later, on the event loop.

        Args:
            session: a session in memory, see `held` and `is_live`.
            seq: number of the step, counted from 0; the number of the last step repeats its answer; None for the next.
            item: result of `Stepper.parse`.
            done: called with the result.
            json: whether the result has JSON values.

        Returns:
            Number of the step.

        Raises:
            Problem: `seq` leaves a gap or was answered before the last step, the session ended, or too many steps wait.
        """
        if not self.is_live(session):
            raise self._gone(session.id)
        if session.replacing:
            raise Problem(409, "the state of this session is being replaced: wait for the answer")
        expected = session.accepted
        seq = expected if seq is None else seq
        if seq == expected - 1:
            self._repeat(session, seq, done, json)
            return seq
        if seq != expected:
            raise Problem(409, f"seq {seq} does not follow: the next step has seq {expected}", ("seq",), seq=expected)
        self._append(Step(session, seq, item, json), done)
        self._touch(session)
        session.accepted += 1
        return seq

    def _repeat(self, session: Session, seq: int, done: Done, json: bool) -> None:
        """Answers the last accepted step again."""
        if session.queue and session.queue[-1].step.json >= json:
            callbacks = session.queue[-1].callbacks
            if len(callbacks) >= MAX_PIPELINED:
                raise busy(f"{len(callbacks)} requests wait for the answer to this step", 429)
            callbacks.append(done)
            return
        item = self._stepper(session.model).parse([])  # without a step: the output so far
        self._append(Step(session, None, item, json), done)

    def _append(self, step: Step, done: Done) -> None:
        """Puts a step into the queue of its session, and computes it if it is the first one."""
        session = step.session
        if len(session.queue) >= MAX_PIPELINED:
            raise busy(f"{len(session.queue)} steps of this session wait", 429)
        self._batcher.check(1)
        session.queue.append(Waiting(step, [done]))
        if len(session.queue) == 1:
            self._compute(session)

    def _compute(self, session: Session) -> None:
        session.busy += 1

        def finish(result: Any) -> None:
            session.busy -= 1
            self._release(session)
            self._finish(session, result)

        model = session.model
        step = session.queue[0].step
        cost = self._stepper(model).steps(step.item)
        self._batcher.add(("steps", model), model, self._runner.advance, step, finish, cost=cost)

    def _finish(self, session: Session, result: Any) -> None:
        """Hands a result to its callbacks, and computes the next step of the session."""
        waiting = session.queue.popleft()
        failed = isinstance(result, BaseException) or session.gone
        rest = list(session.queue) if failed else []
        if failed:
            session.accepted = session.seq
            session.queue.clear()
        elif session.queue:
            self._compute(session)
        if not failed and waiting.step.seq is not None:
            self._metrics.steps(session.model, 1)
        for callback in waiting.callbacks:
            callback(result)
        if not rest:
            return
        text = f"an earlier step failed: the next step has seq {session.seq}"
        problem = self._gone(session.id) if session.gone else Problem(409, text, ("seq",), seq=session.seq)
        for late in rest:
            for callback in late.callbacks:
                callback(problem)

    # the table

    async def _add(self, model: str, state: SessionState, id: str | None) -> Session:
        self._stepper(model)
        new = id is None
        id = self.owners.new_id() if id is None else id
        self.owners.check(id)
        if self.count >= self._settings.max_sessions:
            raise busy(f"there are {self.count:,} sessions, which is the limit; delete some, or try later", 429)
        await self.owners.claim(id)
        if not new and ((self._store is not None and await self._on_disk(id)) or id in self._live):
            raise Problem(409, f"there is a session {id!r} already", ("session",))
        session = Session(id, model, self._slabs[model].take(), state.info, time.time())
        self._enter(session)
        self._ended.pop(session.id, None)
        self._saved += self._store is not None
        self._metrics.session_started(model)
        try:
            await self._do(self._runner.write_state, session, state)
        except BaseException:
            if self.is_live(session):
                self._remove(session, "its state could not be saved", "failed")
            if self._store is not None:  # a request that was cut off has saved it
                self._engine.submit(lambda: self._delete_failed(session), lambda *_: None)
            raise
        return session

    def _delete_failed(self, session: Session) -> None:
        assert self._store is not None  # noqa: S101
        self._store.delete([session.id], "its state could not be saved")

    async def _on_disk(self, id: str) -> bool:
        assert self._store is not None  # noqa: S101
        return await self._do(self._store.read, id) is not None

    async def _load(self, id: str) -> Session:
        """Brings a session from disk to memory."""
        if self._store is None:
            raise self._gone(id)
        if id not in self._loading:
            self._loading[id] = asyncio.ensure_future(self._read(id))
            self._loading[id].add_done_callback(lambda found: self._loading.pop(id, None) and found.exception())
        return await asyncio.shield(self._loading[id])

    async def _read(self, id: str) -> Session:
        assert self._store is not None  # noqa: S101
        saved = await self._do(self._store.read, id)
        if saved is None or saved.model not in self._slabs:
            reason = await self._do(self._store.ended, id)
            raise self._gone(id, reason)
        if min(saved.used + self._settings.idle, saved.created + self._settings.max_age) < time.time():
            raise self._gone(id, self._reason(saved.used, saved.created))
        slab = self._slabs[saved.model]
        info = StateInfo(self._models[saved.model].fingerprint, saved.seq, saved.steps, saved.rest)
        states = slab.from_bytes(saved.state)
        session = Session(id, saved.model, slab.take(), info, saved.created)
        session.used = saved.used  # only steps prolong a session, in memory as on disk
        await self._do(slab.put, [session.slot], states)
        session.holds += 1  # until those who wait for it have it; else sessions from disk would replace each other
        asyncio.get_running_loop().call_later(LOADED, self._unpin, session)
        self._enter(session)
        return session

    def _unpin(self, session: Session) -> None:
        session.holds -= 1
        self._evict()

    def _enter(self, session: Session) -> None:
        self._live[session.id] = session
        heapq.heappush(self._deadlines, (self._deadline(session), session.id))
        if len(self._deadlines) > 2 * len(self._live) + SPARE_DEADLINES:  # most are of sessions that ended or left
            self._deadlines = [(self._deadline(one), one.id) for one in self._live.values()]
            heapq.heapify(self._deadlines)
        self._evict()

    def _evict(self) -> None:
        """Frees slots of the least recently used sessions, if there are too many. Their states are on disk."""
        count = len(self._live) - self._settings.max_live
        if self._store is None or count <= 0:
            return
        for session in list(islice((one for one in self._live.values() if not self._in_use(one)), count)):
            del self._live[session.id]
            self._slabs[session.model].free(session.slot)

    def _remove(self, session: Session, reason: str, kind: str) -> None:
        """Ends a session in memory."""
        session.gone = True
        del self._live[session.id]
        self._release(session)
        self._ended[session.id] = reason
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        self.owners.ended(session.id)
        self._metrics.session_ended(session.model, kind)

    def _release(self, session: Session) -> None:
        """Frees the slot of a session that ended, after the last computation that uses it."""
        if session.gone and not session.busy:
            self._slabs[session.model].free(session.slot)

    def _gone(self, id: str, reason: str | None = None) -> Problem:
        reason = reason or self._ended.get(id)
        if reason is None:
            return Problem(404, f"there is no session {id!r}")
        return Problem(410, f"the session {id!r} ended: {reason}", reason=reason)

    @staticmethod
    def _in_use(session: Session) -> bool:
        return bool(session.busy or session.holds)

    def _touch(self, session: Session) -> None:
        session.used = time.time()
        self._live.move_to_end(session.id)

    def _stepper(self, model: str) -> Any:
        served = self._models[model]
        if served.stepper is None:
            raise Problem(409, f"the model {model!r} has no sessions: {served.no_sessions}")
        return served.stepper

    # expiry

    def _deadline(self, session: Session) -> float:
        return min(session.used + self._settings.idle, session.created + self._settings.max_age)

    def _reason(self, used: float, created: float) -> str:
        idle, age = self._settings.idle, self._settings.max_age
        if used + idle <= created + age:
            return f"no step arrived for {idle:g} seconds (--idle)"
        return f"it was {age:g} seconds old (--max-age)"

    async def expire(self) -> None:
        """Ends sessions whose time is over, in memory and on disk."""
        now = time.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, id = heapq.heappop(self._deadlines)
            session = self._live.get(id)
            if session is None:
                continue
            deadline = self._deadline(session)
            if deadline > now or self._in_use(session):
                heapq.heappush(self._deadlines, (max(deadline, now) + SWEEP * self._in_use(session), id))
                continue
            await self._expire_live(session)
        while self._store is not None and await self._do(self._expire_saved, now):
            pass  # steps run in between

    async def _expire_live(self, session: Session) -> None:
        reason = self._reason(session.used, session.created)
        self._remove(session, reason, "idle" if "--idle" in reason else "age")
        if self._store is not None:
            await self._do(self._store.delete, [session.id], reason)

    def _expire_saved(self, now: float) -> bool:
        """Removes some expired sessions from disk; returns whether there may be more."""
        assert self._store is not None  # noqa: S101
        found = self._store.expire(now, self._settings.idle, self._settings.max_age, EXPIRED_TOGETHER)
        for reason, count in found.items():
            self._metrics.session_ended("", reason, count)
        self._saved = self._store.count()
        return max(found.values()) >= EXPIRED_TOGETHER
