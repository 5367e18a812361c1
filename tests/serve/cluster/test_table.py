"""Sessions of a server that are moved: they refuse changes meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from recurra.serve import Settings
from recurra.serve.cluster.table import ServerTable
from recurra.serve.problems import Problem
from recurra.serve.server import Server


def serving(sensor: Any, work: Any, **settings: Any) -> Any:
    """Runs a function with a server."""

    async def run() -> Any:
        server = Server({"sensor": sensor}, Settings(**settings))
        await server.start()
        try:
            return await work(server)
        finally:
            await server.close()

    return asyncio.run(run())


def refusal(work: Any, *values: Any) -> int:
    with pytest.raises(Problem) as refused:
        work(*values)
    return refused.value.status


async def later_refusal(work: Any) -> int:
    with pytest.raises(Problem) as refused:
        await work
    return refused.value.status


def test_a_session_that_is_sent_refuses_changes(sensor):
    async def work(server: Server) -> None:
        sessions, table = server.sessions, ServerTable(server)
        session = await sessions.create("sensor", {}, "s")
        state = await sessions.state(session)
        async with table.sending("s") as copy:
            assert copy.model == "sensor"
            data = await copy.read()
            assert refusal(sessions.steps.accept, session, 0, None, print) == 503
            assert await later_refusal(sessions.replace("sensor", "s", state)) == 503
            assert await later_refusal(sessions.delete(session)) == 503
            await table.drop("s", "it was moved")  # does nothing
            with pytest.raises(Problem, match="being moved"):
                async with table.sending("s"):
                    pass
            assert await copy.read() == data
        await sessions.replace("sensor", "s", state)
        async with table.sending("s") as copy:
            await copy.drop("it was moved")
        with pytest.raises(Problem, match="it was moved") as gone:
            async with table.sending("s"):
                pass
        assert gone.value.status == 410

    serving(sensor, work)


def test_a_session_whose_steps_are_computed_is_not_sent(sensor):
    async def work(server: Server) -> None:
        session = await server.sessions.create("sensor", {}, "s")
        done = asyncio.get_running_loop().create_future()
        server.sessions.steps.accept(session, 0, server.models["sensor"].stepper.parse([[1.0, 2.0]]), done.set_result)
        with pytest.raises(Problem, match="being computed") as busy:
            async with ServerTable(server).sending("s"):
                pass
        assert busy.value.status == 503
        await done

    serving(sensor, work)


@pytest.mark.parametrize("kept", [False, True])
def test_a_session_that_arrives_is_used_after_the_block(sensor, tmp_path, kept):
    async def send(server: Server) -> bytes:
        await server.sessions.create("sensor", {}, "s")
        async with ServerTable(server).sending("s") as copy:
            return await copy.read()

    data = serving(sensor, send)

    async def receive(server: Server) -> None:
        sessions, table = server.sessions, ServerTable(server)
        async with table.receiving("sensor", "s", data):
            await sessions.create("sensor", {}, "t")  # memory is for one session
            async with sessions.held("sensor", "s") as session:
                assert refusal(sessions.steps.accept, session, 0, None, print) == 503
        async with sessions.held("sensor", "s") as session:
            assert session.seq == 0
            done = asyncio.get_running_loop().create_future()
            sessions.steps.accept(session, 0, server.models["sensor"].stepper.parse([[1.0, 2.0]]), done.set_result)
            assert (await done).seq == 0
        with pytest.raises(Problem, match="already"):
            async with table.receiving("sensor", "s", data):
                pass
        with pytest.raises(Problem, match="no model"):
            async with table.receiving("other", "u", data):
                pass
        await table.drop("s", "another replica has it")
        with pytest.raises(Problem, match="another replica has it"):
            async with sessions.held("sensor", "s"):
                pass
        async with table.receiving("sensor", "v", data) as copy:
            await copy.mark("00000002")
            assert await sessions.grants() == ({"t": "", "v": "00000002"} if kept else {})
            await copy.drop("its move was withdrawn")
        assert sessions.count == 1
        assert await sessions.grants() == ({"t": ""} if kept else {})

    serving(sensor, receive, **({"state_dir": tmp_path, "max_live": 1} if kept else {}))
