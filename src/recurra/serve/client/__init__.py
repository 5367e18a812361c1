"""Clients of the server in Python: one for plain code, one for `asyncio`."""

from .calls import ServerError
from .clients import AsyncClient, Client, Session

__all__ = ["AsyncClient", "Client", "ServerError", "Session"]
