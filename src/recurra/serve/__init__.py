"""HTTP server for trained models: predictions in batches, sessions with state, generation, metrics.

It needs the extra `serve`: `pip install 'recurra[serve]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.errors import UsageError

from .settings import Settings

if TYPE_CHECKING:
    from .app import create_app
    from .client import AsyncClient, Client, ServerError, Session
    from .cluster import ray_app
    from .process.thread import running

__all__ = ["AsyncClient", "Client", "ServerError", "Session", "Settings", "create_app", "ray_app", "running"]

_HOMES = {
    **dict.fromkeys(("AsyncClient", "Client", "ServerError", "Session"), ".client"),
    "create_app": ".app",
    "ray_app": ".cluster",
    "running": ".process.thread",
}


def __getattr__(name: str) -> Any:
    """Imports the server at its first use; the command line reads the settings without it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_HOMES[name], __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("recurra"):
            raise
        raise UsageError(f"the server needs {error.name}: pip install 'recurra[serve]'") from error
