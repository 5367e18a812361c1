"""Requests for a session of another worker process are forwarded to it over a Unix domain socket."""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from recurra.serve.metrics import CONTENT_TYPE, merged

from .exchange import RETRY_AFTER, send_error

_SESSION = re.compile(r"/v1/models/[^/]+/sessions/([^/]+)")
_CREATION = re.compile(r"/v1/models/[^/]+/sessions")
_MAX_CREATION = 65_536
"""Bytes of a body in which the name of a new session is looked for."""
_HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"expect"))
"""Headers of one connection, which are not forwarded."""
_CONNECT_SECONDS = 5.0
_AWAY = "the process that has this session is restarting"


class _Creation(msgspec.Struct):
    session: str | None = None


def owner_of(session: str, workers: int) -> int:
    """Returns the number of the worker process that a session belongs to.

    Args:
        session: name of the session.
        workers: number of worker processes.
    """
    return zlib.crc32(session.encode()) % workers


def address_of_worker(folder: Path, number: int) -> Path:
    """Returns the path of the Unix domain socket of a worker."""
    return folder / f"{number}.sock"


class Forward:
    """ASGI application that forwards requests for sessions of other workers, and passes on the rest.

    The owner of the session checks keys and limits, and writes the log.

    Args:
        app: the application of this worker.
        folder: private folder with the Unix domain sockets of all workers.
        number: number of this worker.
        workers: number of workers.

    Attributes:
        state: `state` of the application.
    """

    def __init__(self, app: Any, folder: Path, number: int, workers: int) -> None:
        self._app, self.state = app, app.state
        self._folder, self._number, self._workers = folder, number, workers
        self._own_address = str(address_of_worker(folder, number))
        self._clients: dict[int, httpx.AsyncClient] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a request, a WebSocket or the lifespan of the application."""
        if scope["type"] == "http" and scope["path"] == "/metrics" and not self._is_internal(scope):
            await self._metrics(scope, send)
            return
        owner = self._owner(scope)
        if owner == self._number and scope["type"] == "http" and _is_creation(scope) and not self._is_internal(scope):
            name, receive = await _new_name(receive)
            owner = owner if name is None else owner_of(name, self._workers)
        if owner == self._number:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(owner, scope, receive, send)
        else:
            await self._socket(owner, scope, receive, send)

    def _owner(self, scope: Any) -> int:
        """Returns the worker that serves a request: this one, unless the address names a session of another."""
        if scope["type"] not in ("http", "websocket") or self._is_internal(scope):
            return self._number
        if scope["type"] == "websocket":
            named = parse_qs(scope["query_string"].decode("latin-1")).get("session")
        else:
            match = _SESSION.match(scope["path"])
            named = [match[1]] if match else None
        return self._number if not named else owner_of(named[0], self._workers)

    def _is_internal(self, scope: Any) -> bool:
        """Returns whether another worker forwarded the request."""
        return (scope.get("server") or ("",))[0] == self._own_address

    async def _request(self, owner: int, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        has_body = b"content-length" in headers or b"transfer-encoding" in headers
        request = self._client(owner).build_request(
            scope["method"],
            httpx.URL("http://worker", raw_path=_target(scope)),
            headers=[(name, value) for name, value in scope["headers"] if name not in _HOP],
            content=_body(receive) if has_body else None,
        )
        try:
            answer = await self._client(owner).send(request, stream=True)
        except httpx.TransportError:
            await send_error(send, 503, _AWAY, (RETRY_AFTER,))
            return
        try:
            kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _HOP]
            kept = [pair for pair in kept if pair[0] != b"date"]  # this worker adds one
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()

    async def _metrics(self, scope: Any, send: Any) -> None:
        """Answers with the metrics of all workers that are running, or with the refusal of one."""
        headers = [pair for pair in scope["headers"] if pair[0] not in (*_HOP, b"content-length", b"accept-encoding")]
        texts: dict[int, str] = {}
        for number in range(self._workers):
            with contextlib.suppress(httpx.TransportError):
                answer = await self._client(number).request(scope["method"], "http://worker/metrics", headers=headers)
                if answer.status_code != 200:
                    await _answer(send, answer.status_code, b"application/json", answer.content)
                    return
                texts[number] = answer.text
        await _answer(send, 200, CONTENT_TYPE.encode(), merged(texts))

    def _client(self, owner: int) -> httpx.AsyncClient:
        if owner not in self._clients:
            transport = httpx.AsyncHTTPTransport(
                uds=str(address_of_worker(self._folder, owner)), limits=httpx.Limits(max_keepalive_connections=64)
            )
            timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)  # the owner has time limits
            self._clients[owner] = httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False)
        return self._clients[owner]

    async def _socket(self, owner: int, scope: Any, receive: Any, send: Any) -> None:
        await receive()  # websocket.connect
        skipped = ("host", "connection", "upgrade", "origin")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        host = dict(headers).get("host", "worker")
        try:
            opened = await unix_connect(
                str(address_of_worker(self._folder, owner)),
                f"ws://{host}{_target(scope).decode('latin-1')}",
                origin=dict(headers).get("origin"),  # type: ignore[arg-type]
                additional_headers=[
                    pair for pair in headers if pair[0] not in skipped and not pair[0].startswith("sec-websocket-")
                ],
                subprotocols=[Subprotocol(name) for name in scope.get("subprotocols", ())] or None,
                compression=None,
                max_size=None,
                ping_interval=None,
                open_timeout=_CONNECT_SECONDS,
                user_agent_header=None,
                proxy=None,
            )
        except InvalidStatus as refused:
            head = [(b"content-type", b"application/json")]
            status, body = refused.response.status_code, bytes(refused.response.body or b"")
            await send({"type": "websocket.http.response.start", "status": status, "headers": head})
            await send({"type": "websocket.http.response.body", "body": body})
            return
        except (OSError, TimeoutError, WebSocketException):
            await send({"type": "websocket.close", "code": 1013, "reason": _AWAY})
            return
        async with opened:
            await send({"type": "websocket.accept", "subprotocol": opened.subprotocol})
            tasks = [asyncio.ensure_future(_to_owner(opened, receive)), asyncio.ensure_future(_to_client(opened, send))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _answer(send: Any, status: int, kind: bytes, body: bytes) -> None:
    head = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _is_creation(scope: Any) -> bool:
    return scope["method"] == "POST" and _CREATION.fullmatch(scope["path"]) is not None


async def _new_name(receive: Any) -> tuple[str | None, Any]:
    """Reads the name that a client gives to a new session.

    Returns:
        The name, None without one; and a function that returns the messages again that were read.
    """
    messages, body = [], b""
    while not messages or (messages[-1].get("more_body", False) and len(body) <= _MAX_CREATION):
        messages.append(await receive())
        body += messages[-1].get("body", b"")
    name = None
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        name = msgspec.json.decode(body, type=_Creation).session

    async def again() -> Any:
        return messages.pop(0) if messages else await receive()

    return name, again


def _target(scope: Any) -> bytes:
    """Returns path and query as the client sent them."""
    query = scope.get("query_string", b"")
    return scope["raw_path"] + (b"?" + query if query else b"")


async def _body(receive: Any) -> AsyncIterator[bytes]:
    """Yields the parts of the body of a request.

    Raises:
        httpx.WriteError: the client left.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise httpx.WriteError("the client left")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _to_owner(opened: ClientConnection, receive: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        while (message := await receive())["type"] == "websocket.receive":
            data = message.get("bytes")
            await opened.send(message["text"] if data is None else data)


async def _to_client(opened: ClientConnection, send: Any) -> None:
    try:
        async for data in opened:
            await send({"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data})
    except ConnectionClosed:
        pass
    await send({"type": "websocket.close", "code": opened.close_code or 1011, "reason": opened.close_reason or ""})
