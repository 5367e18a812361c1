"""Requests for a session of another worker process are forwarded to it over a Unix domain socket."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec

from recurra.serve.metrics import CONTENT_TYPE, merged
from recurra.serve.owners import owner_of

from .peer import HOP, Peer

_SESSION = re.compile(r"/v1/models/[^/]+/sessions/([^/]+)")
_CREATION = re.compile(r"/v1/models/[^/]+/sessions")
_MAX_CREATION = 65_536
"""Bytes of a body in which the name of a new session is looked for."""


class _Creation(msgspec.Struct):
    session: str | None = None


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
        self._peers: dict[int, Peer] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a request, a WebSocket or the lifespan of the application."""
        if scope["type"] == "http" and scope["path"] == "/metrics" and not self._is_internal(scope):
            await self._metrics(scope, send)
            return
        owner = self._owner(scope)
        if owner == self._number and scope["type"] == "http" and self._is_creation(scope):
            name, receive = await name_in(receive)
            owner = owner if name is None else owner_of(name, self._workers)
        if owner == self._number:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._peer(owner).request(scope, receive, send, _target(scope))
        else:
            await self._peer(owner).socket(scope, receive, send, _target(scope))

    def _owner(self, scope: Any) -> int:
        """Returns the worker that serves a request: this one, unless the address names a session of another."""
        if scope["type"] not in ("http", "websocket") or self._is_internal(scope):
            return self._number
        named = session_of(scope, scope["path"])
        return self._number if named is None else owner_of(named, self._workers)

    def _is_creation(self, scope: Any) -> bool:
        return is_creation(scope, scope["path"]) and not self._is_internal(scope)

    def _is_internal(self, scope: Any) -> bool:
        """Returns whether another worker forwarded the request."""
        return (scope.get("server") or ("",))[0] == self._own_address

    async def _metrics(self, scope: Any, send: Any) -> None:
        """Answers with the metrics of all workers that are running, or with the refusal of one."""
        headers = [pair for pair in scope["headers"] if pair[0] not in (*HOP, b"content-length", b"accept-encoding")]
        texts: dict[int, str] = {}
        for number in range(self._workers):
            with contextlib.suppress(httpx.TransportError):
                answer = await self._peer(number).client.request(scope["method"], "/metrics", headers=headers)
                if answer.status_code != 200:
                    await _answer(send, answer.status_code, b"application/json", answer.content)
                    return
                texts[number] = answer.text
        await _answer(send, 200, CONTENT_TYPE.encode(), merged(texts))

    def _peer(self, owner: int) -> Peer:
        if owner not in self._peers:
            self._peers[owner] = Peer(uds=address_of_worker(self._folder, owner))
        return self._peers[owner]


async def _answer(send: Any, status: int, kind: bytes, body: bytes) -> None:
    head = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def session_of(scope: Any, path: str) -> str | None:
    """Returns the session that a request or a WebSocket names in its address; None without one."""
    if scope["type"] == "websocket":
        return parse_qs(scope["query_string"].decode("latin-1")).get("session", [None])[0]
    match = _SESSION.match(path)
    return match[1] if match else None


def is_creation(scope: Any, path: str) -> bool:
    """Returns whether a request begins a session."""
    return scope["method"] == "POST" and _CREATION.fullmatch(path) is not None


async def name_in(receive: Any) -> tuple[str | None, Any]:
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
