"""The parts of a running server, and its states: starting, ready, draining, closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

from recurra.errors import RecurraError

from .batching import Batcher, EngineThread
from .metrics import Metrics
from .models import ServedModel, load_models
from .problems import Problem, busy
from .sessions.sessions import Sessions
from .sessions.table import SWEEP
from .settings import Settings
from .store import Store, claimed

log = logging.getLogger("recurra.serve")


class Server:
    """Models, engine thread, sessions and counters of one application.

    Args:
        models: model folder or fitted estimator by name.
        settings: limits.
        worker: number of this process and number of processes.

    Attributes:
        models: the loaded models by name.
        batcher: batches of the engine thread.
        sessions: the sessions.
        metrics: counters.
        running: number of requests that are being answered.
        draining: True if new work is refused.
    """

    def __init__(self, models: Mapping[str, Any], settings: Settings, worker: tuple[int, int] = (0, 1)) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.models: dict[str, ServedModel] = load_models(models)
        self.engine = EngineThread()
        self.batcher = Batcher(self.engine, settings.max_batch, settings.max_wait, settings.max_queue, self.metrics)
        self._resources, self._store = contextlib.ExitStack(), None
        if settings.state_dir is not None:
            if worker[1] == 1:  # else the parent process holds the folder
                self._resources.enter_context(claimed(settings.state_dir))
            fingerprints = {name: model.fingerprint for name, model in self.models.items()}
            self._store = Store(settings.state_dir, fingerprints, cast(Any, settings.durability))
            self._resources.callback(self._store.close)
        self.sessions = Sessions(self.models, self.engine, self.batcher, settings, self.metrics, self._store, worker)
        self.running, self.draining, self.started = 0, False, False
        self._work = _Work(self)
        self._idle = asyncio.Event()
        self._sweeper: asyncio.Task[None] | None = None
        self._closers: set[Callable[[], None]] = set()
        self._watch()

    @property
    def ready(self) -> bool:
        """True if the server takes work."""
        return self.started and not self.draining

    def model(self, name: str) -> ServedModel:
        """Returns a model.

        Raises:
            Problem: there is no model of this name.
        """
        try:
            return self.models[name]
        except KeyError:
            raise Problem(404, f"there is no model {name!r:.120}; the models are {', '.join(self.models)}") from None

    def work(self) -> AbstractContextManager[None]:
        """Returns a context that counts a request as running work.

        Raises:
            Problem: the server is shutting down.
        """
        if not self.ready:
            raise busy("the server is shutting down" if self.draining else "the server is starting")
        return self._work

    def hold(self) -> None:
        """Counts a unit of running work that was accepted."""
        self.running += 1

    def release(self) -> None:
        """Counts the end of a unit of running work."""
        self.running -= 1
        if not self.running:
            self._idle.set()

    @contextmanager
    def socket(self, close: Callable[[], None]) -> Iterator[None]:
        """Counts an open WebSocket.

        Args:
            close: asks the socket to close after the answers to the steps that it accepted.
        """
        self.metrics.sockets += 1
        self._closers.add(close)
        try:
            yield
        finally:
            self.metrics.sockets -= 1
            self._closers.discard(close)

    async def start(self) -> None:
        """Starts the engine thread."""
        self.engine.start()
        self._sweeper = asyncio.create_task(self._sweep())
        self.started = True

    async def drain(self) -> None:
        """Refuses new work, and returns when running work has ended. Saved sessions are on disk already."""
        self.draining = True
        for close in list(self._closers):
            close()
        while self.running:
            self._idle.clear()
            await self._idle.wait()

    async def close(self) -> None:
        """Ends the engine thread and closes the store."""
        self.draining = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await asyncio.to_thread(self.engine.stop)
        self._resources.close()

    async def _sweep(self) -> None:
        """Ends sessions whose time is over, once a second."""
        while True:
            await asyncio.sleep(min(SWEEP, self.settings.idle / 2, self.settings.max_age / 2))
            try:
                await self.sessions.expire()
            except RecurraError as error:
                log.error("sessions could not be expired: %s", error)

    def _watch(self) -> None:
        watch, sessions = self.metrics.watch, self.sessions
        watch("ready", "1 if the server takes work.", lambda: float(self.ready))
        watch("running_requests", "Requests that are being answered.", lambda: self.running)
        watch("queue", "Inputs that wait for the engine.", lambda: self.batcher.waiting)
        watch("sessions_live", "Sessions in memory.", lambda: sessions.live)
        watch("sessions", "Sessions in memory and on disk.", lambda: sessions.count)


class _Work:
    """Context that counts a unit of running work. A generator would take several times as long for each request."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        self._server.hold()

    def __exit__(self, *error: object) -> None:
        self._server.release()
