"""The sessions of a server, as a replica moves them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from recurra.serve.problems import Problem
from recurra.serve.server import Server
from recurra.serve.sessions.step_runner import Session
from recurra.serve.state_file import read_state, write_state


class ServerTable:
    """The `Table` of a server.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @asynccontextmanager
    async def sending(self, session: str) -> AsyncIterator[ServerCopy]:
        """See `Table.sending`."""
        sessions = self._server.sessions
        async with sessions.moving(await sessions.model_of(session), session) as found:
            yield ServerCopy(self._server, found)

    @asynccontextmanager
    async def receiving(self, model: str, session: str, data: bytes) -> AsyncIterator[ServerCopy]:
        """See `Table.receiving`."""
        served = self._server.model(model)
        if served.stepper is None:
            raise Problem(409, f"the model {model!r} has no sessions: {served.no_sessions}")
        state = read_state(data, served.stepper.specs, served.fingerprint)
        async with self._server.sessions.arriving(model, session, state) as begun:
            yield ServerCopy(self._server, begun)

    async def drop(self, session: str, reason: str) -> None:
        """See `Table.drop`."""
        sessions = self._server.sessions
        with suppress(Problem):
            async with sessions.held(await sessions.model_of(session), session) as found:
                await sessions.delete(found, reason)


class ServerCopy:
    """The `Copy` of a session of a server."""

    def __init__(self, server: Server, session: Session) -> None:
        self._server, self._session, self.model = server, session, session.model

    async def read(self) -> bytes:
        """See `Copy.read`."""
        return write_state(await self._server.sessions.state(self._session))

    async def mark(self, grant: str) -> None:
        """See `Copy.mark`."""
        await self._server.sessions.mark(self._session, grant)

    async def drop(self, reason: str) -> None:
        """See `Copy.drop`."""
        self._session.moving = False
        await self._server.sessions.delete(self._session, reason)
