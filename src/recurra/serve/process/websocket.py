"""WebSocket connections with limits: slow readers, floods of small messages, fragments and pings.

The class extends uvicorn's `websockets-sansio`: of its three implementations it is the fastest one that stops reading
while the application is busy.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .connection import LimitedWriting
from .exchange import error_body

MAX_FRAGMENTS = 1024
"""Frames of one message."""
BACKLOG = 64
"""Messages that are parsed before the application takes them."""
SLICE = 16_384
"""Bytes that are parsed at a time. A read has up to 256 kB, which can be many thousands of messages."""
GOING_AWAY = 1001


class Socket(LimitedWriting, WebSocketsSansIOProtocol):
    """A WebSocket with limits; see `LimitedWriting` for the arguments."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._rest = bytearray()

    def data_received(self, data: bytes) -> None:
        """Called with bytes of the peer."""
        if not self._rest and len(data) <= SLICE:
            self._parse(data)
        else:
            self._rest += data
            self._parse_rest()

    async def receive(self) -> Any:
        """Returns the next message for the application."""
        message = await self.queue.get()
        if self.queue.empty():
            if self._rest:
                self._parse_rest()
            if self.read_paused and not self._rest and self.queue.empty():
                self.read_paused = False
                self.transport.resume_reading()
        return message

    def handle_cont(self, event: Any) -> None:
        """Called with a further frame of a message."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self._fail(1009, f"a message has more than {MAX_FRAGMENTS} frames", "fragments")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Called with a ping; the answer was prepared by the parser."""
        super().handle_ping()
        waiting = self.transport.get_write_buffer_size()
        if waiting > 2 * self._settings.send_queue and not self.transport.is_closing():  # the peer reads no answers
            self._cut_off()

    def shutdown(self) -> None:
        """Closes the WebSocket because the server ends."""
        if self.handshake_complete and not self.close_sent:
            self.stop_keepalive()
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": GOING_AWAY})
            self.conn.send_close(GOING_AWAY, "the server is shutting down")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        else:
            super().shutdown()

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is None or self.handshake_initiated or self.transport.is_closing():
            return
        # no request to open a WebSocket, for example one with a body; uvicorn would wait for ever
        self._refused("handshake")
        body = error_body(400, "the request to open a WebSocket is not valid")
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
        )
        self.transport.write(b"".join(self.conn.data_to_send()) or head % len(body) + b"\r\n" + body)
        self.transport.close()

    def _parse_rest(self) -> None:
        while self._rest and self.queue.qsize() < BACKLOG and not self.transport.is_closing():
            piece = bytes(self._rest[:SLICE])
            del self._rest[:SLICE]
            self._parse(piece)
        if self._rest and not self.read_paused and not self.transport.is_closing():
            self.read_paused = True
            self.transport.pause_reading()

    def _fail(self, code: int, message: str, reason: str) -> None:
        self._refused(reason)
        self.conn.fail(code, message)
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
