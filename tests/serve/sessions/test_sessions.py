"""Races between requests for sessions."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from session_table import check, floats, table, whole

from recurra.serve.problems import Problem
from recurra.serve.state_file import SessionState, StateInfo


def test_a_step_while_the_state_is_replaced_is_refused(sensor):
    async def run():
        async with table(sensor) as t:
            session, other = [await t.sessions.create("sensor", {}) for _ in range(2)]
            for seq in range(3):
                await t.send(other, seq, floats([[seq, 1]]))
            state, event = await t.sessions.state(other), t.block()
            replacing = asyncio.ensure_future(t.sessions.replace("sensor", session.id, state))
            await asyncio.sleep(0)
            assert (await t.send(session, 0, floats([[1, 2]]))).status == 409
            event.set()
            await replacing
            assert (session.seq, session.accepted, session.steps) == (3, 3, 3)
            result = await t.send(session, 3, floats([[9, 9]]))
            assert result.output.tobytes() == whole(sensor, [[0, 1]], [[1, 1]], [[2, 1]], [[9, 9]])

    check(run())


def test_a_session_that_is_deleted_while_its_state_is_replaced(sensor, tmp_path):
    async def run():
        async with table(sensor, tmp_path) as t:
            session, other = [await t.sessions.create("sensor", {}) for _ in range(2)]
            state, event = await t.sessions.state(other), t.block()
            replacing = asyncio.ensure_future(t.sessions.replace("sensor", session.id, state))
            await asyncio.sleep(0)
            deleting = asyncio.ensure_future(t.sessions.delete(session))
            await asyncio.sleep(0)
            event.set()
            await deleting
            with pytest.raises(Problem, match="was ended"):
                await replacing
            with pytest.raises(Problem, match="deleted"):
                async with t.sessions.held("sensor", session.id):
                    pass

    check(run())


def test_a_request_for_a_session_that_is_cut_off_leaves_none(sensor, tmp_path):
    async def run():
        async with table(sensor, tmp_path) as t:
            event = t.block()
            creating = asyncio.ensure_future(t.sessions._add("sensor", _new_state(t), None))
            await asyncio.sleep(0)
            (id,) = (session.id for session in t.sessions._table)
            creating.cancel()
            event.set()
            with pytest.raises(asyncio.CancelledError):
                await creating
            await t.engine.call(int)
            with pytest.raises(Problem) as caught:
                async with t.sessions.held("sensor", id):
                    pass
            assert caught.value.status == 410
            assert t.sessions._runner._store.count() == 0
            await t.sessions.create("sensor", {}, id)

    check(run())


def _new_state(t):
    served = t.sessions._models["sensor"]
    return SessionState(served.stepper.start(1), StateInfo(served.fingerprint, 0, 0))


def test_random_requests_to_few_places_in_memory(sensor, tmp_path):
    """20 sessions share 3 places. Steps, forks, deletions and states come in a random order at the same time."""
    random = np.random.default_rng(5)

    async def life(t, number: int):
        rows = np.random.default_rng(number).normal(size=(30, 2)).astype(np.float32)
        id, done = f"s{number}", 0
        await t.sessions.create("sensor", {}, id)
        for turn in range(30):
            async with t.sessions.held("sensor", id) as session:
                result = await t.send(session, None, rows[done : done + 1].reshape(-1))
                assert not isinstance(result, Problem), result
                done += 1
                assert result.output.tobytes() == whole(sensor, rows[:done])
                if turn % 7 == number % 7:
                    new = await t.sessions.fork(session, f"{id}-{turn}")
                    await asyncio.sleep(0)
                    await _end(t, session)
                    id = new.id
            await asyncio.sleep(float(random.random()) * 0.002)
        return id

    async def run():
        async with table(sensor, tmp_path, max_live=3) as t:
            ids = await asyncio.gather(*(life(t, number) for number in range(20)))
            assert t.sessions.count == len(set(ids)) == 20

    check(run())


async def _end(t, session) -> None:
    await t.sessions.delete(session)
