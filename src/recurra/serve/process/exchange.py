"""One HTTP request and its answer: limits of the body and of the time, headers of the answer, counted bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from recurra.serve.settings import Settings

RETRY_AFTER = (b"retry-after", b"1")
MEDIA = frozenset(
    (b"application/json", b"application/x-ndjson", b"application/octet-stream", b"application/vnd.safetensors")
)
"""Content types for POST. Browsers send others from any web page without asking the server first."""

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
DEFAULTS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Headers of answers that do not set them themselves."""
_USUAL = (SECURITY[0], DEFAULTS[0])
"""Headers of short JSON answers: the others protect pages, and every header costs a microsecond."""


def error_body(status: int, message: str) -> bytes:
    """Returns the JSON text of an error."""
    return msgspec.json.encode({"error": {"status": status, "message": message}})


async def send_error(send: Any, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Sends an error as the answer to an HTTP request."""
    body = error_body(status, message)
    fixed = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fixed})
    await send({"type": "http.response.body", "body": body})


class Exchange:
    """A request and its answer. `receive` and `send` replace those of the ASGI server.

    Args:
        receive: function of the ASGI server.
        send: function of the ASGI server.
        headers: headers of the request by name in lower case.
        settings: limits.
        request_id: identifies the request.
        leaving: returns True if the process is about to end. The answer then asks the client to close the connection.

    Attributes:
        request_id: identifies the request in logs and in the answer.
        status: status of the answer; 0 before it begins.
        received: bytes of the body so far.
        sent: bytes of the answer so far.
        closed: True if this object answered in the place of the application.
    """

    __slots__ = (
        *("_deadline", "_expired", "_leaving", "_loop", "_max_body", "_receive", "_send", "_task", "_timeout"),
        *("_timer", "body_timeout", "closed", "received", "request_id", "sent", "status"),
    )

    def __init__(
        self,
        receive: Any,
        send: Any,
        headers: Mapping[bytes, bytes],
        settings: Settings,
        request_id: bytes,
        leaving: Callable[[], bool] = bool,
    ) -> None:
        self._receive, self._send, self._leaving = receive, send, leaving
        self._max_body, self._timeout = settings.max_body, settings.timeout
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        self.body_timeout = settings.body_timeout if has_body else 0.0
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: Any = None
        self._deadline, self._expired = 0.0, False
        self.request_id = request_id
        self.status = self.received = self.sent = 0
        self.closed = False

    async def run(self, app: Any, scope: Any) -> None:
        """Runs the application. The time limit ends when the answer begins.

        Raises:
            TimeoutError: the answer did not begin in time.
        """
        # what asyncio.timeout does, at a tenth of its cost, which would be a tenth of a small request
        task = self._task = asyncio.current_task()
        loop = self._loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._timeout + self.body_timeout
        self._timer = loop.call_later(self._timeout, self._on_timer)  # no deadline is earlier
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            if self._expired and task is not None and task.uncancel() <= 0:
                raise TimeoutError from None
            raise
        finally:
            self._stop()
            self._task = None

    def check(self, method: str, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        """Returns status and message if the head of the request shows that it cannot be served."""
        if not self.body_timeout:
            return None
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_body:
            return 413, self._too_large()
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if method == "POST" and kind not in MEDIA:
            known = ", ".join(sorted(name.decode() for name in MEDIA))
            return 415, f"the content type is {kind.decode('latin-1')[:80] or 'missing'}; it must be one of {known}"
        return None

    async def receive(self) -> dict[str, Any]:
        """Returns the next message. A body above the limit is answered with 413, and looks like a lost client."""
        if self.closed:
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            if self.received > self._max_body:
                await self.refuse(413, self._too_large())
                return {"type": "http.disconnect"}
            if self.body_timeout and not message.get("more_body", False) and self._loop is not None:
                self._deadline = self._loop.time() + self._timeout
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message of the application."""
        if self.closed:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._stop()
            headers = [*message.get("headers", ()), *_USUAL, (b"x-request-id", self.request_id)]
            if len(headers) > len(_USUAL) + 3:  # more than the type and the length of the content
                names = {name for name, _ in message["headers"]}
                headers = [*message["headers"], *SECURITY, *(pair for pair in DEFAULTS if pair[0] not in names)]
                headers.append((b"x-request-id", self.request_id))
            if self._leaving():
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answers with an error in the place of the application; cuts off an answer that has begun."""
        if self.closed:
            return
        if self.status:
            self.closed = True
            return
        await send_error(self.send, status, message, headers)
        self.closed = True

    def _stop(self) -> None:
        """Ends the time limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        """Cancels the application if the deadline is over; else waits for it, because it was moved."""
        self._timer = None
        left = self._deadline - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._on_timer)
        elif self._task is not None:
            self._expired = True
            self._task.cancel()

    def _too_large(self) -> str:
        return f"the body is larger than {self._max_body:,} bytes"
