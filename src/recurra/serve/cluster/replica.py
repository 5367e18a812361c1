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

from recurra.serve.problems import Problem, busy, problem_of
from recurra.serve.process.exchange import send_error
from recurra.serve.process.forward import is_creation, name_in, session_of
from recurra.serve.process.keys import key_of
from recurra.serve.process.peer import Peer
from recurra.serve.routes.requests import encode

from .directory import BEAT, Member, Place
from .holdings import Copy, Holdings
from .table import ServerTable

log = logging.getLogger("recurra.serve")

TOKEN = b"x-recurra-token"
_MOVE = "/move/"
_ANSWER_SECONDS = 10.0
"""Longest time for an answer of the directory or of a replica that receives a session."""
_SHARE = 0.8
"""Share of `grace` in which sessions are moved. Afterwards the server is closed."""
_STALE = (0, 404, 410, 421, 503)
"""Statuses after which the place of a session is looked up again."""


class Replica:
    """ASGI application around that of `create_app`.

    Args:
        app: the application.
        directory: calls a method of the directory: `await directory("find", session)`.
        host: address of this machine for the other replicas.
        is_ending: returns True if the replica is about to end.

    Attributes:
        name: random name of the replica.
        address: its host and port for the other replicas, after it has started.
        holdings: its sessions.
    """

    def __init__(self, app: Any, directory: Any, host: str, is_ending: Callable[[], bool] = bool) -> None:
        self._app, self._directory, self._host, self._is_ending = app, directory, host, is_ending
        self.state = app.state
        self._server = app.state.server
        self._folder = str(self._server.settings.state_dir or "")
        self.name = secrets.token_hex(8)
        self.address = ""
        self.holdings = Holdings(self.name, self._ask, ServerTable(self._server), self._send, bool(self._folder))
        self._server.sessions.owners = self.holdings
        self._peers: dict[str, Peer] = {}
        self._leaving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a request, a WebSocket or the lifespan of the application."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        session = session_of(scope, path)
        creates = session is None and scope["type"] == "http" and is_creation(scope, path)
        if creates and self._has_key(scope):
            session, receive = await name_in(receive)
        if session is None or session in self.holdings or not self._has_key(scope):
            await self._app(scope, receive, send)
            return
        try:
            place = await self.holdings.place(session)
        except Problem as problem:
            if creates and problem.status == 410:  # the name is free
                await self._app(scope, receive, send)
            else:
                await _refuse(scope, receive, send, problem)
            return
        if place.replica in ("", self.name):
            await self._app(scope, receive, send)
        else:
            await self._forward(session, place, scope, receive, send, path)

    def _has_key(self, scope: Any) -> bool:
        """Returns whether a request has a valid key. If not, the application refuses it."""
        keys = self.state.control.keys
        key = None if keys is None else key_of(dict(scope["headers"]), scope.get("subprotocols", ()))
        return keys is None or (key is not None and keys.client(key) is not None)

    async def _ask(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the directory.

        Raises:
            Problem: the directory does not answer.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._directory(method, *arguments)
        except Exception as error:
            log.warning("the directory does not answer: %s", str(error) or type(error).__name__)
            raise busy("the directory of the sessions does not answer") from error

    async def _forward(self, session: str, place: Place, scope: Any, receive: Any, send: Any, path: str) -> None:
        query = scope.get("query_string", b"")
        target = quote(path).encode() + (b"?" + query if query else b"")
        peer = self._peer(place.address)
        if scope["type"] == "websocket":
            self.holdings.misplaced(session)  # sockets live long: ask again for the next one
            await peer.socket(scope, receive, send, target)
            return
        status = await peer.request(scope, receive, send, target)
        if status in _STALE:
            self.holdings.misplaced(session)
        if status == 0:
            with contextlib.suppress(Problem):
                await self._ask("suspect", place.replica)

    def _peer(self, address: str) -> Peer:
        if address not in self._peers:
            self._peers[address] = Peer(address=address)
        return self._peers[address]

    # life of the replica

    async def _lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        async def receiving() -> Any:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.leave()
            return message

        async def sending(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._begin()
            await send(message)

        await self._app(scope, receiving, sending)

    async def _begin(self) -> None:
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
            timeout_graceful_shutdown=1,
        )
        self._listener = _Listener(config)
        self._listening = asyncio.ensure_future(self._listener.serve([listener]))
        self.holdings.found(await self._server.sessions.grants())
        await self._join()
        self._beating = asyncio.ensure_future(self._beat())
        while seconds := await self._ask("remaining"):  # new sessions would be refused
            await asyncio.sleep(seconds)
        self.holdings.confirmed()

    async def _join(self) -> None:
        await self.holdings.join(Member(self.name, self.address, self._folder, self._leaving is not None))

    async def _beat(self) -> None:
        """Tells the directory that this replica works, and notices the end of the replica."""
        while True:
            for _ in range(4):
                await asyncio.sleep(BEAT / 4)
                if self._is_ending():  # open sockets would keep the replica from ending
                    self._leave_once()
            with contextlib.suppress(Problem):
                if not await self._ask("beat", self.name, self._leaving is not None):
                    await self._join()

    def _leave_once(self) -> asyncio.Task[None]:
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave())
        return self._leaving

    async def leave(self) -> None:
        """Moves the sessions to other replicas, and ends this one."""
        await self._leave_once()
        self._beating.cancel()
        with contextlib.suppress(Problem):
            await self.holdings.leave()
        self._listener.should_exit = True
        await self._listening
        for peer in self._peers.values():
            await peer.client.aclose()

    async def _leave(self) -> None:
        seconds = self._server.settings.grace * _SHARE
        with contextlib.suppress(Problem):
            await self._ask("beat", self.name, True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds / 2):
                        await self._server.drain()
                await self.holdings.give_all()
        if self.holdings:
            log.warning("%d sessions stay with a replica that ends", len(self.holdings))

    async def _send(self, address: str, session: str, copy: Copy, token: str) -> bool:
        """Sends a session to another replica."""
        path = f"{_MOVE}{quote(copy.model)}/{quote(session)}"
        try:
            data, headers = await copy.read(), {TOKEN.decode(): token}
            answer = await self._peer(address).client.put(path, content=data, headers=headers, timeout=_ANSWER_SECONDS)
        except httpx.HTTPError as error:
            log.warning("a session could not be moved: %s", str(error) or type(error).__name__)
            return False
        if answer.status_code != 204:
            log.warning("a session could not be moved: %s", answer.text)
        return answer.status_code == 204

    # the private address

    async def _private(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves requests of other replicas."""
        if scope["type"] == "http" and scope["path"].startswith(_MOVE):
            await self._receive(scope, receive, send)
            return
        session = session_of(scope, scope["path"])
        if session is not None and session not in self.holdings:
            try:
                place = await self.holdings.place(session, cached=False)
                if place.replica not in ("", self.name):
                    raise busy("the session was moved")
            except Problem as problem:
                await _refuse(scope, receive, send, problem)
                return
        await self._app(scope, receive, send)

    async def _receive(self, scope: Any, receive: Any, send: Any) -> None:
        """Begins a session with the state that another replica sent."""
        token = dict(scope["headers"]).get(TOKEN, b"").decode("latin-1")
        model, _, name = scope["path"].removeprefix(_MOVE).partition("/")
        try:
            if not await self._ask("is_offered", name, token):
                raise Problem(401, "this address is for other replicas")
            if self._leaving is not None:
                raise busy("this replica ends too")
            with self._server.work():
                await self.holdings.take(model, name, token, await _body(receive))
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            await send_error(send, problem.status, problem.message)
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})


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
    """Answers a request or the handshake of a WebSocket with an error."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        kind = "websocket.http.response"
        if kind not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1013, "reason": problem.message[:120]})
            return
    body = encode(problem.to_json())
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": f"{kind}.start", "status": problem.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
