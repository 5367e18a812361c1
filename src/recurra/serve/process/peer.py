"""Forwards requests and WebSockets to another process of the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from .exchange import RETRY_AFTER, error_body, send_error

HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"expect"))
"""Headers of one connection, which are not forwarded."""
_CONNECT_SECONDS = 5.0
_ABNORMAL = (1005, 1006)
"""Codes without a closing message. They cannot be sent."""
_AWAY = "the process that has this session is restarting"


class Peer:
    """Another process of the server.

    Args:
        uds: its Unix domain socket.
        address: its host and port, if it has no Unix domain socket.

    Attributes:
        client: sends requests.
    """

    def __init__(self, uds: Path | None = None, address: str = "localhost") -> None:
        self._uds, self._address = uds, address
        transport = httpx.AsyncHTTPTransport(
            uds=None if uds is None else str(uds), limits=httpx.Limits(max_keepalive_connections=64)
        )
        timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)  # the owner has time limits
        url = f"http://{address}"
        self.client = httpx.AsyncClient(transport=transport, base_url=url, timeout=timeout, trust_env=False)

    async def request(self, scope: Any, receive: Any, send: Any, target: bytes) -> int:
        """Forwards a request and its answer.

        Args:
            scope: of the request.
            receive: receives its body.
            send: sends the answer.
            target: path and query.

        Returns:
            Status of the answer; 0 if there was none, which the client gets as 503.
        """
        headers = dict(scope["headers"])
        has_body = b"content-length" in headers or b"transfer-encoding" in headers
        request = self.client.build_request(
            scope["method"],
            httpx.URL(f"http://{self._address}", raw_path=target),
            headers=[(name, value) for name, value in scope["headers"] if name not in HOP],
            content=_body(receive) if has_body else None,
        )
        try:
            answer = await self.client.send(request, stream=True)
        except httpx.LocalProtocolError as error:
            await send_error(send, 400, f"the request cannot be forwarded: {error}")
            return 400
        except httpx.TransportError:
            await send_error(send, 503, _AWAY, (RETRY_AFTER,))
            return 0
        try:
            kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP]
            kept = [pair for pair in kept if pair[0] != b"date"]  # this worker adds one
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()
        return answer.status_code

    async def socket(self, scope: Any, receive: Any, send: Any, target: bytes) -> None:
        """Forwards the messages of a WebSocket in both directions."""
        await receive()  # websocket.connect
        skipped = ("host", "connection", "upgrade", "origin")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        host = dict(headers).get("host", "localhost")
        try:
            opened = await self._connect(
                f"ws://{host}{target.decode('latin-1')}",
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
            await _refuse(send, refused.response.status_code, bytes(refused.response.body or b""))
            return
        except (InvalidURI, ValueError):
            await _refuse(send, 400, error_body(400, "the header Host must be one host, with or without a port"))
            return
        except (OSError, TimeoutError, WebSocketException):
            await _refuse(send, 503, error_body(503, _AWAY), RETRY_AFTER)
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

    def _connect(self, url: str, **options: Any) -> connect:
        if self._uds is not None:
            return unix_connect(str(self._uds), url, **options)
        host, _, port = self._address.rpartition(":")
        return connect(url, host=host.strip("[]"), port=int(port), **options)


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


async def _refuse(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Answers the handshake of a WebSocket with an error."""
    head = [(b"content-type", b"application/json"), *headers]
    await send({"type": "websocket.http.response.start", "status": status, "headers": head})
    await send({"type": "websocket.http.response.body", "body": body})


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
    code, reason = opened.close_code, opened.close_reason
    if code is None or code in _ABNORMAL:
        code, reason = 1012, _AWAY
    await send({"type": "websocket.close", "code": code, "reason": reason or ""})
