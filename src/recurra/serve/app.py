"""The ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp

from recurra.errors import RecurraError

from .problems import Problem, problem_of
from .process.guard import Control, Guard
from .routes import inspect, kserve, openapi, operation, page, predict, sessions, sockets
from .routes.requests import JsonResponse
from .server import Server
from .settings import Settings

log = logging.getLogger("recurra.serve")


def create_app(
    models: Mapping[str, Any] | str | Path,
    settings: Settings | None = None,
    *,
    worker: tuple[int, int] = (0, 1),
) -> Starlette:
    """Returns the server as an ASGI application, for any ASGI server.

    Args:
        models: model folder or fitted estimator by name; or one folder, whose name is then that of the model.
        settings: limits; see `recurra.serve.Settings`.
        worker: number of this process and number of processes, if several processes share the sessions.

    Raises:
        UsageError: the name of a model cannot be part of an address, or a setting is out of its range.
        ModelFolderError: a folder cannot be loaded.

    Example:
        >>> from recurra import SequenceRegressor
        >>> from recurra.serve import create_app
        >>> from starlette.testclient import TestClient
        >>> model = SequenceRegressor(hidden_size=4, epochs=1, verbose=0, bidirectional=False, pooling="last")
        >>> app = create_app({"sensor": model.fit([[1.0, 2.0], [3.0, 4.0, 5.0]] * 8, [1.0, 2.0] * 8)})
        >>> with TestClient(app) as client:
        ...     answer = client.post("/v1/models/sensor/predict", json={"inputs": [[1.0, 2.0], [3.0]]})
        >>> answer.status_code, [list(one) for one in answer.json()["predictions"]]
        (200, [['value'], ['value']])
    """
    if isinstance(models, str | Path):
        models = {Path(models).resolve().name: models}
    settings = settings or Settings()
    control = Control(settings)  # before the models are loaded, which takes longer
    server = Server(models, settings, worker)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await server.start()
        try:
            yield
        finally:
            await server.close()

    app = _App(
        routes=_routes(),
        lifespan=lifespan,
        exception_handlers={
            Problem: _on_problem,
            RecurraError: _on_problem,
            HTTPException: _on_http,
        },
        middleware=[
            Middleware(Guard, settings=settings, metrics=server.metrics, control=control),
            Middleware(predict.Shortcut, server=server),
        ],
    )
    app.state.server, app.state.control = server, control
    return app


class _App(Starlette):
    """An application without Starlette's outermost layer, which answers errors: `Guard` does that."""

    def build_middleware_stack(self) -> ASGIApp:
        outermost: Any = super().build_middleware_stack()
        return outermost.app if isinstance(outermost.app, Guard) else outermost


def _routes() -> list[Any]:
    """Returns the addresses; the most frequent ones are first."""
    session = "/{model}/sessions/{session}"
    models = [
        Route("/{model}/predict", predict.predict, methods=["POST"]),
        Route(f"{session}/steps", sessions.steps, methods=["POST"]),
        Route("/{model}/sessions", sessions.create, methods=["POST"]),
        Route("/{model}/generate", predict.generate, methods=["POST"]),
        Route(f"{session}/fork", sessions.fork, methods=["POST"]),
        Route(f"{session}/state", sessions.state, methods=["GET"]),
        Route(f"{session}/state", sessions.replace_state, methods=["PUT"]),
        Route(session, sessions.about, methods=["GET"]),
        Route(session, sessions.delete, methods=["DELETE"]),
        WebSocketRoute("/{model}/stream", sockets.StreamRoute()),
        Route("/{model}/inspect", inspect.inspect, methods=["POST"]),
        Route("/{model}", predict.model, methods=["GET"]),
    ]
    return [
        Mount("/v1/models", routes=[*models, Route("/", predict.models, methods=["GET"])]),
        Mount("/v2", routes=_kserve_routes()),
        Route("/v2", kserve.server, methods=["GET"]),
        Route("/v1/models", predict.models, methods=["GET"]),
        Route("/health/live", operation.live, methods=["GET"]),
        Route("/health/ready", operation.ready, methods=["GET"]),
        Route("/openapi.json", openapi.openapi, methods=["GET"]),
        Route("/metrics", operation.metrics, methods=["GET"]),
        Route("/", page.page, methods=["GET"]),
        Route("/assets/{path:path}", page.asset, methods=["GET"]),
    ]


def _kserve_routes() -> list[Any]:
    return [
        Route("/models/{model}/infer", kserve.infer, methods=["POST"]),
        Route("/models/{model}/ready", kserve.model_ready, methods=["GET"]),
        Route("/models/{model}", kserve.model, methods=["GET"]),
        Route("/health/live", kserve.live, methods=["GET"]),
        Route("/health/ready", kserve.ready, methods=["GET"]),
    ]


async def _on_problem(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    assert problem is not None  # noqa: S101  (only problems come here)
    return JsonResponse(problem.to_json(), problem.status, headers=problem.headers)


async def _on_http(request: Request, error: Exception) -> Response:
    """Answers errors of the routing, such as 404 and 405, as JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101
    problem = Problem(error.status_code, f"{error.detail}: {request.method} {request.url.path:.200}")
    return JsonResponse(problem.to_json(), error.status_code, headers=dict(error.headers or {}))
