"""HTTP server for trained models: predictions in batches, sessions with state, generation, metrics.

It needs the extra `serve`: `pip install 'recurra[serve]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra._util.extras import needs_extra
from recurra._util.lazy_names import at_first_use

from .settings import Settings

if TYPE_CHECKING:
    from .app import create_app
    from .client import AsyncClient, Client, ServerError, Session
    from .cluster import ray_app
    from .process.thread import running

__all__ = ["AsyncClient", "Client", "ServerError", "Session", "Settings", "create_app", "ray_app", "running"]

_find = at_first_use(
    __name__,
    {
        **{name: f".client:{name}" for name in ("AsyncClient", "Client", "ServerError", "Session")},
        "create_app": ".app:create_app",
        "ray_app": ".cluster:ray_app",
        "running": ".process.thread:running",
    },
)


def __getattr__(name: str) -> Any:
    """Imports the server at its first use; the command line reads the settings without it."""
    with needs_extra("serve", "the server"):
        return _find(name)
