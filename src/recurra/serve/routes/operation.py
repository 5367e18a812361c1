"""`/health` and `/metrics`: for load balancers and monitoring."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from recurra.serve.metrics import CONTENT_TYPE
from recurra.serve.problems import busy

from .requests import JsonResponse, server_of


async def live(request: Request) -> Response:
    """Answers while the process works."""
    return JsonResponse({"status": "live"})


async def ready(request: Request) -> Response:
    """Answers 200 while the server takes work, else 503."""
    server = server_of(request)
    if not server.ready:
        raise busy("the server is shutting down" if server.draining else "the server is starting")
    return JsonResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Returns the metrics in the text format of Prometheus."""
    return Response(server_of(request).metrics.text(), headers={"content-type": CONTENT_TYPE})
