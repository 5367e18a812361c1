"""Slots of sessions, eviction and expiry."""

from __future__ import annotations

import asyncio
import threading

import pytest
from session_table import check, floats, table, whole

from recurra.serve.problems import Problem
from recurra.serve.sessions.slab import Slab
from recurra.serve.sessions.step_runner import Session
from recurra.serve.sessions.table import MAX_ENDED, SPARE_DEADLINES, SessionTable
from recurra.serve.settings import Settings
from recurra.serve.state_file import StateInfo


def small_table(**settings) -> SessionTable:
    """An empty table of the model "m", which has no states."""
    return SessionTable({"m": Slab({})}, Settings(**settings), saved=True)


def entered(table: SessionTable, id: str, created: float = 0.0, used: float = 0.0) -> Session:
    session = table.new(id, "m", StateInfo("", 0, 0), created, used)
    table.add(session)
    return session


def test_why_there_is_no_session():
    table = small_table()
    assert table.gone("a").status == 404
    table.end(entered(table, "a"), "the client deleted it")
    assert (table.gone("a").status, table.gone("a").message) == (410, "the session 'a' ended: the client deleted it")
    for i in range(MAX_ENDED):
        table.end(entered(table, f"s{i}"), "a reason")
    assert (table.gone("a").status, table.gone("s0").status) == (404, 410)
    entered(table, "s0")
    assert table.gone("s0").status == 404


# eviction


def test_the_sessions_that_leave_the_memory_are_the_least_recently_used_that_are_free():
    table = small_table(max_live=3)
    a, b, c = (entered(table, id) for id in "abc")
    a.busy = 1
    table.touch(b)
    entered(table, "d")
    assert [session.id for session in table] == ["a", "b", "d"]
    assert not table.has(c)
    a.busy = 0
    entered(table, "e")
    assert [session.id for session in table] == ["b", "d", "e"]


def test_a_slot_is_free_again_after_the_computations_that_use_it():
    table = small_table()
    first = entered(table, "a")
    first.busy = 1
    table.end(first, "a reason")
    assert entered(table, "b").slot != first.slot
    first.busy = 0
    table.release(first)
    assert entered(table, "c").slot == first.slot


def test_a_session_in_two_memories_is_never_freed_twice(sensor, tmp_path):
    """A session that left the memory has no slot; deleting its old object must not free a slot of another session."""

    async def run():
        async with table(sensor, tmp_path, max_live=2) as t:
            old = await t.sessions.create("sensor", {})
            await t.send(old, 0, floats([[1, 2]]))
            others = [await t.sessions.create("sensor", {}) for _ in range(2)]
            assert not t.sessions.is_live(old)
            with pytest.raises(Problem):
                await t.sessions.delete(old)
            async with t.sessions.held("sensor", old.id) as new:
                assert new is not old
                assert (await t.send(new, 1, floats([[3, 4]]))).output.tobytes() == whole(sensor, [[1, 2]], [[3, 4]])
            slots = [session.slot for session in t.sessions._table]
            assert len(set(slots)) == len(slots) == 2
            assert sum(t.sessions.is_live(one) for one in others) == 1

    check(run())


def test_sessions_beyond_the_memory_leave_it_when_they_are_free(sensor, tmp_path):
    """All sessions are in use for a while, so that more than `max_live` are in memory."""

    async def run():
        async with table(sensor, tmp_path, max_live=3) as t:
            event, opened = threading.Event(), []
            for _ in range(3):
                opened.append(await t.sessions.create("sensor", {}))
                opened[-1].holds += 1
            for _ in range(5):
                opened.append(await t.sessions.create("sensor", {}))
                if t.sessions.is_live(opened[-1]):
                    opened[-1].holds += 1
            event.set()
            for session in opened:
                session.holds = 0
            await t.sessions.create("sensor", {})
            assert t.sessions.live <= 3
            slots = [session.slot for session in t.sessions._table]
            assert len(set(slots)) == len(slots)

    check(run())


# expiry


def test_sessions_expire_by_idle_time_and_by_age():
    table = small_table(idle=10, max_age=50)
    entered(table, "idle", created=100, used=105)
    entered(table, "old", created=100, used=145)
    busy = entered(table, "busy", created=100, used=100)
    busy.holds = 1
    assert [session.id for session in table.expired(114.9)] == []
    found = list(table.expired(115.1))
    assert [(one.id, table.reason(one.created, one.used)) for one in found] == [
        ("idle", "no step arrived for 10 seconds (--idle)")
    ]
    busy.holds = 0
    assert [session.id for session in table.expired(115.2)] == []  # is looked for a second later
    assert {session.id for session in table.expired(151)} == {"busy", "old"}
    assert table.reason(100, 145) == "it was 50 seconds old (--max-age)"


def test_deadlines_of_ended_sessions_are_forgotten(sensor):
    async def run():
        async with table(sensor) as t:
            for _ in range(3 * SPARE_DEADLINES):
                await t.sessions.delete(await t.sessions.create("sensor", {}))
            assert len(t.sessions._table._deadlines) <= SPARE_DEADLINES + 2
            assert t.sessions.live == 0

    check(run())


def test_a_session_with_steps_that_wait_does_not_expire(sensor, tmp_path):
    async def run():
        async with table(sensor, tmp_path, idle=0.1) as t:
            session = await t.sessions.create("sensor", {})
            event = t.block()
            future = t.send(session, 0, floats([[1, 2]]))
            expiring = asyncio.ensure_future(t.sessions.expire())
            await asyncio.sleep(0.3)
            event.set()
            assert (await future).output.tobytes() == whole(sensor, [[1, 2]])
            await expiring
            assert (await t.send(session, 1, floats([[1, 2]]))).seq == 1

    check(run())


def test_a_look_at_a_session_does_not_prolong_it(sensor, tmp_path):
    """Memory and disk agree about the time of the last step."""

    async def run():
        async with table(sensor, tmp_path, idle=0.3, max_live=1) as t:
            old = await t.sessions.create("sensor", {})
            await t.sessions.create("sensor", {})
            await asyncio.sleep(0.2)
            async with t.sessions.held("sensor", old.id):
                pass
            await asyncio.sleep(0.2)
            await t.sessions.expire()
            with pytest.raises(Problem, match="no step arrived"):
                async with t.sessions.held("sensor", old.id):
                    pass
            assert t.sessions.count == 0

    check(run())
