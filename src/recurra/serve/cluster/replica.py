"""One replica: it serves its own sessions, forwards requests for others, and moves its sessions when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn

from recurra.serve.owners import new_name
from recurra.serve.problems import Problem, busy, problem_of
from recurra.serve.process.exchange import error_body, send_error
from recurra.serve.process.forward import is_creation, name_in, session_of
from recurra.serve.process.peer import Peer
from recurra.serve.state_file import read_state, write_state

from .directory import BEAT, Place

log = logging.getLogger("recurra.serve")

TOKEN = b"x-recurra-token"
_MOVE = "/move/"
_MOVED_TOGETHER = 16
"""Sessions that are sent to other replicas at a time."""
_SHARE = 0.8
"""Share of `grace` in which sessions are moved. Afterwards the server is closed."""


class Replica:
    """ASGI application around that of `create_app`.

    Args:
        app: the application.
        directory: calls a method of the directory: `await directory("find", session)`.
        host: address of this machine for the other replicas.
        is_ending: returns True if the replica is about to end.
    """

    def __init__(self, app: Any, directory: Any, host: str, is_ending: Callable[[], bool]) -> None:
        self._app, self._directory, self._host, self._is_ending = app, directory, host, is_ending
        self.state = app.state
        self._server = app.state.server
        self._server.sessions.owners = self
        self.name = secrets.token_hex(8)
        self.address = ""
        self._places: dict[str, Place] = {}
        self._peers: dict[str, Peer] = {}
        self._arriving: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leaving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a request, a WebSocket or the lifespan of the application."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        session = session_of(scope, path)
        if session is None and scope["type"] == "http" and is_creation(scope, path):
            session, receive = await name_in(receive)
        if session is None or self._server.sessions.is_known(session):
            await self._app(scope, receive, send)
            return
        try:
            place = await self._place(session)
            if session in self._arriving:  # the directory knows it already, this replica not yet
                raise busy("the session is being moved")
        except Problem as problem:
            await _refuse(scope, receive, send, problem)
            return
        if place.replica in ("", self.name):
            await self._app(scope, receive, send)
        else:
            await self._forward(session, place, scope, receive, send, path)

    async def _place(self, session: str) -> Place:
        """Returns the place of a session.

        Raises:
            Problem: it is not known yet, or its replica ended.
        """
        place = self._places.get(session)
        if place is None:
            place = Place(*await self._directory("find", session))
            if place.address:
                self._remember(session, place)
        if not place.known:
            raise busy("the replicas are starting")
        if place.replica and not place.address:
            if self._server.settings.state_dir is not None:
                raise busy("the replica that has this session is being replaced")
            reason = "its replica ended unexpectedly"
            raise Problem(410, f"the session {session!r} ended: {reason}", reason=reason)
        return place

    def _remember(self, session: str, place: Place) -> None:
        if len(self._places) > self._server.settings.max_sessions:
            self._places.clear()
        self._places[session] = place

    async def _forward(self, session: str, place: Place, scope: Any, receive: Any, send: Any, path: str) -> None:
        query = scope.get("query_string", b"")
        target = quote(path).encode() + (b"?" + query if query else b"")
        peer = self._peer(place.address)
        if scope["type"] == "websocket":
            self._places.pop(session, None)  # sockets live long: ask again for the next one
            await peer.socket(scope, receive, send, target)
            return
        status = await peer.request(scope, receive, send, target)
        if status in (0, 404, 421, 503):
            self._places.pop(session, None)
        if status == 0:
            await self._directory("suspect", place.replica)

    def _peer(self, address: str) -> Peer:
        if address not in self._peers:
            self._peers[address] = Peer(address=address)
        return self._peers[address]

    # owners of sessions, see `recurra.serve.owners.Owners`

    def new_id(self) -> str:
        """See `Owners.new_id`."""
        return new_name()

    def check(self, session: str) -> None:
        """Accepts each session; `claim` refuses names that are taken, and the slab has own sessions only."""

    async def claim(self, session: str) -> None:
        """See `Owners.claim`."""
        if not await self._directory("claim", session, self.name, session in self._arriving):
            raise Problem(409, f"there is a session {session!r} already", ("session",))
        self._places.pop(session, None)

    def ended(self, session: str) -> None:
        """See `Owners.ended`."""
        task = asyncio.ensure_future(self._directory("ended", session, self.name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # life of the replica

    async def _lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        async def receiving() -> Any:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.leave()
            return message

        async def sending(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._join()
            await send(message)

        await self._app(scope, receiving, sending)

    async def _join(self) -> None:
        """Begins to listen for other replicas, and adds this one to the directory."""
        listener = socket.create_server((self._host, 0))
        self.address = "{}:{}".format(*listener.getsockname())
        config = uvicorn.Config(
            self._private,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_max_size=self._server.settings.max_message,
            ws_per_message_deflate=False,
        )
        self._listener = _Listener(config)
        self._start(self._listener.serve([listener]))
        await self._enter()
        self._start(self._beat())

    async def _enter(self) -> None:
        sessions = await self._server.sessions.names()
        await self._directory("join", self.name, self.address, sessions)

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self) -> None:
        """Tells the directory that this replica works, and notices the end of the replica."""
        while True:
            for _ in range(4):
                await asyncio.sleep(BEAT / 4)
                if self._is_ending() and self._leaving is None:  # open sockets would keep the replica from ending
                    self._leaving = asyncio.ensure_future(self._leave())
            try:
                if not await self._directory("beat", self.name) and self._leaving is None:
                    await self._enter()
            except Exception as error:  # the directory is being replaced
                log.warning("the directory does not answer: %s", error)

    async def leave(self) -> None:
        """Moves the sessions to other replicas, and ends this one."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave())
        await self._leaving
        self._listener.should_exit = True
        for task in list(self._tasks):
            task.cancel()

    async def _leave(self) -> None:
        time, grace = asyncio.get_running_loop().time, self._server.settings.grace
        deadline = time() + grace * _SHARE
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace * _SHARE / 2):
                await self._server.drain()
        names = await self._server.sessions.names()
        while names and time() < deadline:
            targets = await self._directory("others", self.name)
            if targets:
                names = await self._move_all(names, targets)
            if names:
                await asyncio.sleep(BEAT)  # in a rolling update, another replica may still be starting
        if names:
            log.warning("%d sessions stay with a replica that ends", len(names))
        await self._directory("leave", self.name)

    async def _move_all(self, names: list[str], targets: list[str]) -> list[str]:
        """Sends sessions to other replicas. Returns those that could not be moved."""
        slots = asyncio.Semaphore(_MOVED_TOGETHER)
        moves = [self._move(name, targets[n % len(targets)], slots) for n, name in enumerate(names)]
        moved = await asyncio.gather(*moves)
        log.info("%d of %d sessions were moved to other replicas", sum(moved), len(names))
        return [name for name, done in zip(names, moved, strict=True) if not done]

    async def _move(self, name: str, address: str, slots: asyncio.Semaphore) -> bool:
        """Sends a session to another replica. Returns whether it has it."""
        sessions = self._server.sessions
        async with slots:
            try:
                model = await sessions.model_of(name)
                async with sessions.held(model, name) as session:
                    data = write_state(await sessions.state(session))
                    headers = {TOKEN.decode(): await self._directory("offer", name, self.name)}
                    path = f"{_MOVE}{quote(model)}/{quote(name)}"
                    answer = await self._peer(address).client.put(path, content=data, headers=headers, timeout=10.0)
                    if answer.status_code != 204:
                        raise Problem(503, answer.text)
                    await sessions.delete(session, "it was moved to another replica")
            except (Problem, httpx.HTTPError) as error:
                log.warning("a session could not be moved: %s", error)
                return False
        return True

    # the private address

    async def _private(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves requests of other replicas."""
        if scope["type"] == "http" and scope["path"].startswith(_MOVE):
            await self._receive(scope, receive, send)
            return
        session = session_of(scope, scope["path"])
        if session in self._arriving:
            await _refuse(scope, receive, send, busy("the session is being moved"))
            return
        await self._app(scope, receive, send)

    async def _receive(self, scope: Any, receive: Any, send: Any) -> None:
        """Begins a session with the state that another replica sent."""
        token = dict(scope["headers"]).get(TOKEN, b"").decode("latin-1")
        model, _, name = scope["path"].removeprefix(_MOVE).partition("/")
        if not await self._directory("is_offered", name, token):
            await send_error(send, 401, "this address is for other replicas")
            return
        self._arriving.add(name)
        try:
            served = self._server.model(model)
            data = await _body(receive)
            state = read_state(data, served.stepper.specs, served.fingerprint)
            with self._server.work():  # refused if this replica ends too: it has counted the sessions that it moves
                await self._server.sessions.replace(model, name, state)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            await send_error(send, problem.status, problem.message)
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._arriving.discard(name)


class _Listener(uvicorn.Server):
    """A server without signal handlers, which belong to Ray."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles no signals."""
        yield


async def _body(receive: Any) -> bytes:
    """Reads the body of a request."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


async def _refuse(scope: Any, receive: Any, send: Any, problem: Problem) -> None:
    """Answers a request with an error; closes a WebSocket."""
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1013, "reason": problem.message[:120]})
        return
    from recurra.serve.routes.requests import encode

    body = encode(problem.to_json()) if problem.details else error_body(problem.status, problem.message)
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
