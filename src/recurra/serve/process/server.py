"""uvicorn's server with a shutdown that loses no accepted work."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from recurra.errors import DataError, RecurraError
from recurra.serve.settings import Settings

from .connection import Connection
from .listen import is_loopback
from .logs import event
from .websocket import Socket

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LINGER = 0.2
"""Seconds in which open connections still get answers, which ask the client to close. A request that is on its way when
its connection is closed would be lost."""
AWAIT = 2.0
"""Seconds in which a connection that was made before the listener was closed may still send its first request. At most
a quarter of the time for the shutdown is spent so."""
SLACK = 1.0
"""Seconds after the time for the shutdown until the process is ended by force."""


class Server(uvicorn.Server):
    """A server with limits, and with the signals of an operator.

    SIGTERM and SIGINT end it after the running work. A second one ends it at once. SIGHUP reads the key file again.

    Args:
        app: an application of `create_app`.
        settings: limits.
        private: Unix domain socket on which other workers forward requests.
        parent: file that ends when the parent process ends; the server then ends too.

    Attributes:
        exit_code: 0 if all work ended in time, else 1.
    """

    def __init__(self, app: Any, settings: Settings, private: socket.socket | None = None, parent: int = -1) -> None:
        limits: Any = {"settings": settings, "refused": app.state.server.metrics.refused}
        super().__init__(
            uvicorn.Config(
                app,
                http=functools.partial(Connection, **limits),  # type: ignore[arg-type]
                ws=functools.partial(Socket, **limits),  # type: ignore[arg-type]
                loop="auto",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the address of a client is not used
                timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]
                ws_max_size=settings.max_message,
                ws_ping_interval=settings.ping,
                ws_ping_timeout=settings.ping,
                ws_per_message_deflate=False,  # costs 64 kB for each socket, and time
            )
        )
        self.exit_code = 0
        self._private, self._parent = private, parent
        self._app, self._control, self._settings = app.state.server, app.state.control, settings
        self._on_start: Callable[[], None] = lambda: None
        self._sweeper: asyncio.Task[None] | None = None

    def serve_on(self, listener: socket.socket, on_start: Callable[[], None]) -> int:
        """Serves until a signal arrives.

        Args:
            listener: the listening socket.
            on_start: called when requests are answered.

        Returns:
            The exit code.
        """
        self._on_start = on_start
        self._control.hosts.local = is_loopback(listener)
        self.run([listener])
        return self.exit_code

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application and the listener.

        Raises:
            RecurraError: the application does not start.
        """
        try:
            await super().startup(sockets)
        except SystemExit:  # of uvicorn, which has logged the reason
            raise RecurraError("the application did not start; the log has the reason") from None
        loop = asyncio.get_running_loop()
        if self._private is not None:
            factory = functools.partial(
                self.config.http_protocol_class,  # type: ignore[arg-type]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            self.servers.append(await loop.create_unix_server(factory, sock=self._private))
        if self._parent >= 0:
            loop.add_reader(self._parent, self._on_orphaned)
        self._sweeper = asyncio.create_task(self._sweep())
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends in order: not ready, no new work, running work, connections, the application."""
        event(logging.INFO, "shutdown begins", grace=self._settings.grace)
        watchdog = threading.Timer(self._settings.grace + SLACK, os._exit, [1])
        watchdog.daemon = True
        watchdog.start()
        try:
            async with asyncio.timeout(self._settings.grace):
                self._control.leaving = True
                await asyncio.sleep(self._settings.drain_delay)
                await self._app.drain()
                await self._close_listeners(sockets or [])
                await super().shutdown(sockets)
        except TimeoutError:
            self.exit_code = 1
            event(logging.ERROR, "work was cut off", grace=self._settings.grace, requests=len(self.server_state.tasks))
            await self._cut_off()
        if self._sweeper is not None:
            self._sweeper.cancel()
        watchdog.cancel()
        event(logging.INFO, "shutdown ends", exit_code=self.exit_code)

    async def _close_listeners(self, sockets: list[socket.socket]) -> None:
        """Stops accepting connections. Those that the kernel has accepted already still get answers."""
        for listener in sockets:
            listener.listen(0)  # the kernel resets the connections of its queue when the socket is closed
        await asyncio.sleep(LINGER / 2)
        for opened in (*self.servers, *sockets):
            opened.close()
        await asyncio.sleep(LINGER / 2)
        loop = asyncio.get_running_loop()
        end = loop.time() + min(AWAIT, self._settings.grace / 4)
        while loop.time() < end and any(map(_awaits_request, self.server_state.connections)):
            await asyncio.sleep(LINGER / 10)

    async def _cut_off(self) -> None:
        """Ends connections and requests, and then the application."""
        for server in self.servers:
            server.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SLACK / 2):
                await self.lifespan.shutdown()

    async def _sweep(self) -> None:
        """Checks the deadlines of all connections several times a second."""
        s = self._settings
        shortest = min(s.head_timeout, s.body_timeout, s.send_timeout)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(0.5, max(0.02, shortest / 4)))
            now = loop.time()
            for connection in list(self.server_state.connections):
                connection.check(now)  # type: ignore[union-attr]

    # signals

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles signals while the server runs. uvicorn's own method raises them again at the end."""
        handlers: dict[int, Any] = dict.fromkeys(SIGNALS, self.handle_exit)
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._on_hangup
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begins the shutdown; a second signal ends the process at once."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    def _on_orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._parent)
        self.should_exit = True

    def _on_hangup(self, sig: int, frame: Any) -> None:
        keys = self._control.keys
        if keys is None:
            event(logging.WARNING, "SIGHUP without a key file")
            return
        try:
            event(logging.INFO, "keys were read again", keys=keys.reload())
        except DataError as error:
            event(logging.ERROR, f"the old keys are kept: {error}")


def _awaits_request(connection: Any) -> bool:
    return isinstance(connection, Connection) and connection.awaits_request()
