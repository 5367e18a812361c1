"""A small application with the interface of `create_app`, run by the tests as `python small_app.py SETTINGS`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from recurra.serve.metrics import Metrics
from recurra.serve.process.guard import Control, Guard
from recurra.serve.process.listen import address_of, bind
from recurra.serve.process.runner import run_app, run_workers
from recurra.serve.settings import Settings


class State:
    """Counts running work, and refuses new work while the process ends."""

    def __init__(self) -> None:
        self.metrics, self.ready, self.running, self.saved = Metrics(), True, 0, False

    async def drain(self) -> None:
        self.ready = False
        while self.running:
            await asyncio.sleep(0.01)
        self.saved = True


async def echo(request: Request) -> Response:
    return JSONResponse({"bytes": len(await request.body()), "state": dict(request.scope["state"])})


async def slow(request: Request) -> Response:
    server = request.app.state.server
    if not server.ready:
        return JSONResponse({}, 503, headers={"retry-after": "1"})
    server.running += 1
    try:
        await asyncio.sleep(float(request.query_params["seconds"]))
    finally:
        server.running -= 1
    return JSONResponse({"done": True})


async def big(request: Request) -> Response:
    server = request.app.state.server

    async def chunks():
        server.running += 1
        try:
            for _ in range(int(request.query_params["chunks"])):
                yield b"x" * 65_536
                await asyncio.sleep(float(request.query_params.get("seconds", 0)))
        finally:
            server.running -= 1

    return StreamingResponse(chunks())


async def fail(request: Request) -> Response:
    raise ValueError("a fault")


async def metrics(request: Request) -> Response:
    return PlainTextResponse(request.app.state.server.metrics.text())


async def session(request: Request) -> Response:
    body = await request.body()
    return JSONResponse({"process": os.getpid(), "bytes": len(body), "query": str(request.url.query)})


async def ready(request: Request) -> Response:
    return JSONResponse({}, 200 if request.app.state.server.ready else 503)


async def socket(websocket: WebSocket) -> None:
    server = websocket.app.state.server
    await websocket.accept()
    server.metrics.sockets += 1
    try:
        while True:
            message = await websocket.receive_text()
            if message == "process":
                message = str(os.getpid())
            if message == "fail":
                raise ValueError("a fault of a socket")
            if message.startswith("sleep"):
                server.running += 1
                await asyncio.sleep(float(message.split()[1]))
                server.running -= 1
            if message.startswith("flood"):
                for _ in range(int(message.split()[1])):
                    await websocket.send_bytes(b"x" * 65_536)
            await websocket.send_text(message)
    except WebSocketDisconnect:
        pass
    finally:
        server.metrics.sockets -= 1


def make(settings: Settings, on_close=lambda state: None) -> Starlette:
    state, control = State(), Control(settings)

    @asynccontextmanager
    async def lifespan(app):
        yield
        on_close(state)

    routes = [
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/v1/models/{name}/sessions/{session}/steps", session, methods=["GET", "POST"]),
        Route("/v1/models/{name}/sessions", session, methods=["POST"]),
        WebSocketRoute("/v1/models/{name}/stream", socket),
        Mount("/v1", routes=[Route("/{name}/slow", slow)]),
        Route("/big", big),
        Route("/fail", fail),
        Route("/metrics", metrics),
        Route("/", ready),
        Route("/health/ready", ready),
        Route("/health/live", ready),
        WebSocketRoute("/socket", socket),
    ]
    guard = Middleware(Guard, settings=settings, metrics=state.metrics, control=control)
    app = Starlette(routes=routes, lifespan=lifespan, middleware=[guard])
    app.state.server, app.state.control = state, control
    return app


def main() -> int:
    given = json.loads(sys.argv[1])
    if "keys" in given:
        given["keys"] = Path(given["keys"])
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}

    def on_close(state: State) -> None:
        print(f"saved={state.saved}", flush=True)

    settings = Settings(**given)
    listener = bind("127.0.0.1", 0)

    def announce() -> None:
        print(address_of(listener), flush=True)

    if settings.workers > 1:
        return run_workers(lambda worker: make(settings, on_close), settings, listener, announce, print)
    return run_app(make(settings, on_close), settings, listener, announce)


if __name__ == "__main__":
    sys.exit(main())
