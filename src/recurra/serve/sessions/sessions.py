"""All sessions of a server process, in memory and on disk: begin, use, end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from recurra.serve.batching import Batcher, EngineThread
from recurra.serve.metrics import Metrics
from recurra.serve.models import ServedModel
from recurra.serve.owners import HashedOwners, Owners
from recurra.serve.problems import Problem, busy
from recurra.serve.settings import Settings
from recurra.serve.state_file import SessionState, StateInfo
from recurra.serve.store import Store

from .step_queue import StepQueue
from .step_runner import Session, StepRunner
from .table import SessionTable

EXPIRED_TOGETHER = 100
"""Sessions that are removed from disk in one turn of the engine thread, which takes milliseconds."""
LOADED = 0.05
"""Seconds for which a session from disk stays in memory in any case."""


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
        steps: accepts steps.
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
        self._models, self._engine = models, engine
        self._settings, self._metrics, self._store = settings, metrics, store
        self.owners: Owners = HashedOwners(*worker)
        # short work runs on the event loop, unless it waits for the disk
        self._do = engine.call if store is not None and settings.durability == "power" else engine.quick
        self._runner = StepRunner(models, store)
        self._table = SessionTable(self._runner.slabs, settings, saved=store is not None)
        self.steps = StepQueue(self._table, self._runner, batcher, metrics)
        self._loading: dict[str, asyncio.Future[Session]] = {}
        self._saved = 0 if store is None else store.count()

    async def create(self, model: str, options: Mapping[str, Any], id: str | None = None) -> Session:
        """Begins a session.

        Args:
            model: name of the model.
            options: options of `Stepper.start`.
            id: name of the session; None for a random one.

        Raises:
            Problem: the model has no sessions, the name is taken, or there are too many sessions.
        """
        stepper = self._runner.stepper(model)
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

    @asynccontextmanager
    async def moving(self, model: str, id: str) -> AsyncIterator[Session]:
        """Yields a session that refuses steps while the block runs, to send it to another process.

        Raises:
            Problem: as for `held`, or steps of the session are being computed.
        """
        async with self.held(model, id) as session:
            if session.busy:
                raise busy("steps of this session are being computed")
            session.check_moving()
            session.moving = True
            try:
                yield session
            finally:
                session.moving = False

    @asynccontextmanager
    async def arriving(self, model: str, id: str, state: SessionState) -> AsyncIterator[Session]:
        """Begins a session of another process; it refuses steps while the block runs."""
        session = await self._add(model, state, id, moving=True)
        try:
            yield session
        finally:
            session.moving, session.holds = False, session.holds - 1

    async def _find(self, model: str, id: str) -> Session:
        self.owners.check(id)
        session = self._table.get(id)
        if session is not None and self._table.is_expired(session):
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
                session.check_moving()
                if session.busy:
                    raise Problem(409, "steps of this session are being computed: wait for their answers")
                await self._replace(session, state)
                return session
        except Problem as problem:
            if problem.status not in (404, 410) or self.is_known(id):
                raise
        return await self._add(model, state, id)

    async def _replace(self, session: Session, state: SessionState) -> None:
        session.busy, session.replacing = session.busy + 1, True  # a step would mix the old and the new numbers
        try:
            await self._do(self._runner.write_state, session, state)
        finally:
            session.busy, session.replacing = session.busy - 1, False
            session.accepted = session.seq
            self._table.release(session)
        if session.gone:
            raise Problem(409, f"the session {session.id!r} was ended while its state was set")
        self._table.touch(session)

    async def delete(self, session: Session, reason: str = "the client deleted it") -> None:
        """Ends a session in memory, see `held`.

        Raises:
            Problem: the session is not in memory.
        """
        if not self.is_live(session):
            raise self._table.gone(session.id)
        session.check_moving()
        self._end(session, reason, "deleted")
        if self._store is not None:
            await self._do(self._store.delete, [session.id], reason)
            self._saved -= 1

    def is_live(self, session: Session) -> bool:
        """Returns whether a session is in memory."""
        return self._table.has(session)

    def is_known(self, id: str) -> bool:
        """Returns whether there is a session of this name in memory."""
        return self._table.get(id) is not None

    async def mark(self, session: Session, grant: str) -> None:
        """Records the grant of a session on disk."""
        if self._store is not None:
            await self._do(self._store.mark, session.id, grant)

    async def grants(self) -> dict[str, str]:
        """Returns the names of all sessions on disk with their grants."""
        return {} if self._store is None else await self._do(self._store.grants)

    async def model_of(self, id: str) -> str:
        """Returns the model of a session.

        Raises:
            Problem: there is no session of this name.
        """
        session = self._table.get(id) or await self._load(id)
        return session.model

    @property
    def count(self) -> int:
        """Number of sessions, in memory and on disk."""
        return self.live if self._store is None else max(self._saved, self.live)

    @property
    def live(self) -> int:
        """Number of sessions in memory."""
        return len(self._table)

    @property
    def running(self) -> int:
        """Number of steps that are accepted and not answered."""
        return sum(len(session.queue) for session in self._table)

    async def _add(self, model: str, state: SessionState, id: str | None, moving: bool = False) -> Session:
        self._runner.stepper(model)  # refuses a model without sessions
        new = id is None
        id = self.owners.new_id() if id is None else id
        self.owners.check(id)
        if self.count >= self._settings.max_sessions:
            raise busy(f"there are {self.count:,} sessions, which is the limit; delete some, or try later", 429)
        if not moving:  # else the other process still has it
            await self.owners.claim(id)
        if not new and ((self._store is not None and await self._on_disk(id)) or self.is_known(id)):
            raise Problem(409, f"there is a session {id!r} already", ("session",))
        now = time.time()
        session = self._table.new(id, model, state.info, now, now)
        session.moving, session.holds = moving, int(moving)  # so that it stays in memory
        self._table.add(session)
        self._saved += self._store is not None
        self._metrics.session_started(model)
        try:
            await self._do(self._runner.write_state, session, state)
        except BaseException:
            if self.is_live(session):
                self._end(session, "its state could not be saved", "failed")
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
            raise self._table.gone(id)
        if id not in self._loading:
            self._loading[id] = asyncio.ensure_future(self._read(id))
            self._loading[id].add_done_callback(lambda found: self._loading.pop(id, None) and found.exception())
        return await asyncio.shield(self._loading[id])

    async def _read(self, id: str) -> Session:
        assert self._store is not None  # noqa: S101
        saved = await self._do(self._store.read, id)
        if saved is None or saved.model not in self._runner.slabs:
            reason = await self._do(self._store.ended, id)
            raise self._table.gone(id, reason)
        if self._table.deadline(saved.created, saved.used) < time.time():
            raise self._table.gone(id, self._table.reason(saved.created, saved.used))
        slab = self._runner.slabs[saved.model]
        info = StateInfo(self._models[saved.model].fingerprint, saved.seq, saved.steps, saved.rest)
        states = slab.from_bytes(saved.state)
        # only steps prolong a session, in memory as on disk
        session = self._table.new(id, saved.model, info, saved.created, saved.used)
        await self._do(slab.put, [session.slot], states)
        session.holds += 1  # until those who wait for it have it; else sessions from disk would replace each other
        asyncio.get_running_loop().call_later(LOADED, self._unpin, session)
        self._table.add(session)
        return session

    def _unpin(self, session: Session) -> None:
        session.holds -= 1
        self._table.evict()

    def _end(self, session: Session, reason: str, kind: str) -> None:
        """Ends a session in memory."""
        self._table.end(session, reason)
        self.owners.ended(session.id)
        self._metrics.session_ended(session.model, kind)

    # expiry

    async def expire(self) -> None:
        """Ends sessions whose time is over, in memory and on disk."""
        now = time.time()
        for session in self._table.expired(now):
            await self._expire_live(session)
        while self._store is not None and await self._do(self._expire_saved, now):
            pass  # steps run in between

    async def _expire_live(self, session: Session) -> None:
        reason = self._table.reason(session.created, session.used)
        self._end(session, reason, "idle" if "--idle" in reason else "age")
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
