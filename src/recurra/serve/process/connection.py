"""HTTP connections with limits on size and time of heads and bodies, on slow readers, and on their number.

uvicorn's class parses and answers. This class adds a deadline for the phase in which a connection is. The server checks
all deadlines several times a second, which costs less than a timer for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recurra.serve.hosts import is_host
from recurra.serve.settings import Settings

from .exchange import error_body

MAX_PIPELINED = 32
"""Requests of one connection that wait for the answers to earlier ones."""

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


class LimitedWriting(asyncio.Protocol):
    """Mixin for the connections of uvicorn that cuts off a peer which does not read what was sent to it.

    Args:
        settings: limits.
        refused: called with the reason if a connection is refused or cut off.
        given: arguments of the class of uvicorn.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def __init__(self, *, settings: Settings, refused: Callable[[str], None], **given: Any) -> None:
        super().__init__(**given)
        self._settings, self._refused = settings, refused
        self._read_deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when a connection is made."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=self._settings.send_queue)

    def pause_writing(self) -> None:
        """Called when the write buffer is full."""
        self._read_deadline = self.loop.time() + self._settings.send_timeout
        super().pause_writing()

    def resume_writing(self) -> None:
        """Called when most of the write buffer was sent."""
        self._read_deadline = 0.0
        super().resume_writing()

    def check(self, now: float) -> None:
        """Closes the connection if the peer has not read for too long.

        A closing connection has the same time to empty its buffer.

        Args:
            now: time of the event loop.
        """
        if not self._read_deadline and self.transport.is_closing():
            self._read_deadline = now + self._settings.send_timeout
        if self._read_deadline and now > self._read_deadline:
            self._cut_off()

    def _cut_off(self) -> None:
        self._refused("slow-reader")
        self.transport.abort()


class Connection(LimitedWriting, HttpToolsProtocol):
    """An HTTP connection with limits; see `LimitedWriting` for the arguments."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._phase = "head"
        """What the peer has to send: "head", "body", or "" for nothing."""
        self._deadline = 0.0
        self._head_bytes = 0
        self._rejected = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called when a connection is made. Refuses it if there are too many."""
        full = len(self.connections) >= self._settings.max_connections
        super().connection_made(transport)
        self._enter("head", self._settings.head_timeout)
        if full:
            self._reject(
                503, f"the server has {self._settings.max_connections:,} connections, its limit", "connections"
            )

    def data_received(self, data: bytes) -> None:
        """Called with bytes of the peer."""
        if self._rejected:
            return
        if not self._phase and self._is_idle():
            self._enter("head", self._settings.head_timeout)
        if self._phase == "head":
            self._head_bytes += len(data)
        super().data_received(data)
        if self._phase == "head" and self._head_bytes > self._settings.max_head:
            self._reject(431, self._large_head(), "head")

    def on_headers_complete(self) -> None:
        """Called by the parser after the head of a request."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._rejected:
            return
        if size > self._settings.max_head:
            self._reject(431, self._large_head(), "head")
        elif len(self.pipeline) >= MAX_PIPELINED:
            self._reject(503, f"more than {MAX_PIPELINED} requests wait on this connection", "pipeline")
        elif not self._has_one_host():
            self._reject(400, "the header Host must be one host, with or without a port", "host")
        else:
            self._enter("body", self._settings.body_timeout)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called by the parser with a part of a body."""
        if not self._rejected:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        self._enter("", 0.0)
        if not self._rejected:
            super().on_message_complete()

    def on_message_begin(self) -> None:
        """Called by the parser at the begin of a request."""
        if not self._phase:  # pipelined
            self._enter("head", self._settings.head_timeout)
        super().on_message_begin()

    def handle_websocket_upgrade(self) -> None:
        """Replaces this protocol by that of WebSockets."""
        if not self._rejected:
            super().handle_websocket_upgrade()

    def awaits_request(self) -> bool:
        """Returns whether a request has begun to arrive, or the first one of this connection has not arrived yet."""
        return self._phase == "head" and not self.transport.is_closing()

    def check(self, now: float) -> None:
        """Closes the connection if a deadline is over.

        Args:
            now: time of the event loop.
        """
        super().check(now)
        if self._phase and now > self._deadline and not self.transport.is_closing():
            if self.flow.read_paused:  # by this server, which has not yet used what it read
                self._deadline = now + self._settings.body_timeout
            elif self._phase == "head" and not self._head_bytes:
                self.transport.close()  # a client that never began, such as a connection of a browser in advance
            else:
                self._reject(408, f"the {self._phase} of the request did not arrive in time", f"slow-{self._phase}")

    def _has_one_host(self) -> bool:
        """Returns whether the request names one valid host. One without any is allowed: that is HTTP/1.0."""
        hosts = [value for name, value in self.headers if name == b"host"]
        return not hosts or (len(hosts) == 1 and is_host(hosts[0]))

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _enter(self, phase: str, seconds: float) -> None:
        self._phase, self._head_bytes = phase, 0
        self._deadline = self.loop.time() + seconds

    def _large_head(self) -> str:
        return f"the head of the request is larger than {self._settings.max_head:,} bytes"

    def _reject(self, status: int, message: str, reason: str) -> None:
        """Answers with an error, unless an answer has begun, and closes the connection."""
        self._rejected, self._phase = True, ""
        self._refused(reason)
        if self._is_idle() or not self.cycle.response_started:
            body = error_body(status, message)
            head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
            retry = b"retry-after: 1\r\n" if status == 503 else b""
            self.transport.write(head % (status, _REASONS[status], len(body)) + retry + b"\r\n" + body)
        self.transport.close()
