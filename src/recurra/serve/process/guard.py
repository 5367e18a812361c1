"""Middleware around the whole application: keys, hosts, origins, limits, request ids, logs and metrics."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect

from recurra.serve.hosts import Hosts
from recurra.serve.metrics import Metrics
from recurra.serve.settings import Settings

from .exchange import RETRY_AFTER, Exchange, error_body
from .keys import KEY_PROTOCOL, PROTOCOL, Keys, key_of
from .logs import RequestLog, event

HEALTH = ("/health/live", "/health/ready")
OTHER = "(other)"
"""Path template of requests without a route."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_NO_KEY = "this server needs an API key: send the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"


class Control:
    """What the process tells the middleware while it runs.

    Args:
        settings: names the key file and hosts.

    Attributes:
        keys: the keys; None without a key file.
        hosts: hosts that requests may name.
        leaving: True if the process is about to end. `/health/ready` is then answered with 503.

    Raises:
        DataError: the key file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.keys = None if settings.keys is None else Keys(settings.keys)
        self.hosts = Hosts(settings)
        self.leaving = False

    def is_leaving(self) -> bool:
        """Returns `leaving`."""
        return self.leaving


class Guard:
    """ASGI middleware that protects and observes an application.

    Args:
        app: the application.
        settings: limits.
        metrics: counts requests.
        control: keys and the state of the process.
    """

    def __init__(self, app: Any, settings: Settings, metrics: Metrics, control: Control) -> None:
        self._app, self._settings, self._metrics, self._control = app, settings, metrics, control
        self._log = RequestLog()
        self._ids = (f"{prefix}-{n:x}".encode() for prefix in [secrets.token_hex(4)] for n in itertools.count())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves a connection, a request or the lifespan of the application."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)
            self._log.flush()

    # requests

    async def _request(self, scope: Any, receive: Any, send: Any) -> None:
        begun = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else next(self._ids)
        exchange = Exchange(receive, send, headers, self._settings, request_id, self._control.is_leaving)
        client = self._client(headers) if self._control.keys is not None else None
        state = scope.setdefault("state", {})
        state["request_id"], state["client"] = request_id.decode(), client
        error: BaseException | None = None
        try:
            refusal = self._refusal(exchange, scope, headers, client)
            if refusal is None:
                await exchange.run(self._app, scope)
            else:
                await exchange.refuse(*refusal)
        except TimeoutError as expired:
            if exchange.status:  # of the application: the deadline ends when the answer begins
                error = expired
            else:
                self._metrics.refused("timeout")
                text = f"the answer was not ready within {self._settings.timeout:g} s"
                await exchange.refuse(503, text, (RETRY_AFTER,))
        except ClientDisconnect:
            exchange.status = exchange.status or 499  # the client left
        except Exception as failure:
            error = failure
        if error is not None:
            event(logging.ERROR, "a request failed", error=error, request_id=request_id.decode())
            text = f"an error of the server; its log has the reason under the request id {request_id.decode()}"
            await exchange.refuse(500, text)
        self._record(scope, exchange, client, time.perf_counter() - begun)

    def _refusal(
        self, exchange: Exchange, scope: Any, headers: Mapping[bytes, bytes], client: str | None
    ) -> tuple[Any, ...] | None:
        """Returns the arguments of `refuse` for a request that the application does not get; else None."""
        path = scope["path"]
        if self._control.leaving and path == HEALTH[1]:
            return 503, "the server is shutting down", (RETRY_AFTER,)
        refusal = self._control.hosts.refusal(headers.get(b"host", b""))
        if refusal is not None and path not in HEALTH:
            self._metrics.refused("host")
            return 403, refusal
        if self._control.keys is not None and client is None and not self._is_open(path):
            self._metrics.refused("key")
            wrong = key_of(headers) is not None
            bearer = ((b"www-authenticate", b"Bearer"),)
            return 401, "the API key is unknown" if wrong else _NO_KEY, bearer
        found = exchange.check(scope["method"], headers)
        if found is not None:
            self._metrics.refused("body" if found[0] == 413 else "media")
        return found

    def _is_open(self, path: str) -> bool:
        """Returns whether a path needs no key."""
        if path in HEALTH:
            return True
        if path == "/metrics":
            return self._settings.open_metrics
        return self._settings.open_page and (path in ("/", "/favicon.ico") or path.startswith("/assets/"))

    def _client(self, headers: Mapping[bytes, bytes], protocols: Any = ()) -> str | None:
        key = key_of(headers, protocols)
        return None if key is None or self._control.keys is None else self._control.keys.client(key)

    def _record(self, scope: Any, exchange: Exchange, client: str | None, seconds: float) -> None:
        path = _template(scope)
        self._metrics.request(path, exchange.status, seconds, exchange.received, exchange.sent)
        self._log.add(
            method=scope["method"],
            path=path,
            status=exchange.status,
            ms=round(seconds * 1000, 2),
            received=exchange.received,
            sent=exchange.sent,
            client=client,
            request_id=exchange.request_id.decode(),
        )

    # sockets

    async def _socket(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        protocols = list(scope.get("subprotocols", ()))
        client = self._client(headers, protocols) if self._control.keys is not None else None
        refusal = self._socket_refusal(headers, client)
        if refusal is not None:
            status, text, reason = refusal
            self._metrics.refused(reason)
            event(logging.INFO, "socket refused", reason=reason, client=client)
            await _refuse_socket(scope, send, status, text)
            return
        # the key is for this middleware only
        scope["subprotocols"] = [name for name in protocols if not name.startswith(KEY_PROTOCOL)]
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"sec-websocket-protocol"]
        request_id = next(self._ids).decode()
        state = scope.setdefault("state", {})
        state["request_id"], state["client"] = request_id, client
        selects = PROTOCOL in protocols

        async def selecting(message: Any) -> None:
            if message["type"] == "websocket.accept" and selects and not message.get("subprotocol"):
                message = {**message, "subprotocol": PROTOCOL}  # browsers expect one of those that they offered
            await send(message)

        begun = time.perf_counter()
        try:
            await self._app(scope, receive, selecting)
        except ClientDisconnect:
            pass
        except OSError as lost:  # uvicorn's error for a client that left
            event(logging.DEBUG, "socket lost", error=lost)
        except Exception as error:
            event(logging.ERROR, "a socket failed", error=error, request_id=request_id)
            await _close_failed(send)
        finally:
            event(
                logging.INFO,
                "socket closed",
                path=_template(scope),
                seconds=round(time.perf_counter() - begun, 3),
                client=client,
                request_id=request_id,
            )

    def _socket_refusal(self, headers: Mapping[bytes, bytes], client: str | None) -> tuple[int, str, str] | None:
        refusal = self._control.hosts.refusal(headers.get(b"host", b""))
        if refusal is not None:
            return 403, refusal, "host"
        if not self._is_allowed_origin(headers):
            return 403, "the origin of the page may not open a WebSocket here; the operator can allow it", "origin"
        if self._control.keys is not None and client is None:
            return 401, f"{_NO_KEY}, or the subprotocols '{PROTOCOL}' and '{KEY_PROTOCOL}' + base64url(KEY)", "key"
        return None

    def _is_allowed_origin(self, headers: Mapping[bytes, bytes]) -> bool:
        """Returns whether a page may open a WebSocket. Clients that are no browsers send no origin."""
        origin = headers.get(b"origin")
        if origin is None:
            return True
        text = origin.decode("latin-1").lower()
        host = headers.get(b"host", b"").decode("latin-1").lower()
        allowed = (name.lower().rstrip("/") for name in self._settings.origins)
        return urlsplit(text).netloc == host or text in allowed


def _template(scope: Any) -> str:
    """Returns the path template of the route that Starlette chose. A mounted route has the rest of the path only."""
    route = scope.get("route")
    return OTHER if route is None else scope.get("root_path", "") + route.path


async def _refuse_socket(scope: Any, send: Any, status: int, message: str) -> None:
    """Answers the handshake of a WebSocket with an error, or closes it where the ASGI server cannot do that."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": message[:120]})
        return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": error_body(status, message)})


async def _close_failed(send: Any) -> None:
    try:
        await send({"type": "websocket.close", "code": 1011, "reason": "an error of the server"})
    except (OSError, RuntimeError):  # closed already
        return
