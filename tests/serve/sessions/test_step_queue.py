"""The order of steps, their limits and their repetition."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from serve_helpers import series
from session_table import check, floats, table, whole

from recurra.serve.problems import Problem
from recurra.serve.sessions.step_queue import MAX_PIPELINED

# Triton's scenarios: many steps at once


def test_a_backlog_of_many_sessions_is_computed_in_batches(sensor):
    """70 sessions with steps of different lengths, and 4 sequences in a batch."""
    parts = [series(5, seed=i) for i in range(70)]

    async def run():
        async with table(sensor, max_batch=4) as t:
            opened = [await t.sessions.create("sensor", {}) for _ in parts]
            futures = [
                [t.send(session, seq, floats(part)) for seq, part in enumerate(mine)]
                for session, mine in zip(opened, parts, strict=True)
            ]
            for mine, found in zip(parts, futures, strict=True):
                for seq, result in enumerate(await asyncio.gather(*found)):
                    assert result.output.tobytes() == whole(sensor, *mine[: seq + 1])
                    assert (result.seq, result.steps) == (seq, sum(map(len, mine[: seq + 1])))

    check(run())


def test_a_backlog_of_one_session_keeps_its_order_and_is_limited(sensor):
    parts = [np.random.default_rng(i).normal(size=(1, 2)) for i in range(MAX_PIPELINED)]

    async def run():
        async with table(sensor) as t:
            session, event = await t.sessions.create("sensor", {}), t.block()
            futures = [t.send(session, seq, floats(part)) for seq, part in enumerate(parts)]
            refused = await t.send(session, MAX_PIPELINED, floats(parts[0]))
            assert (refused.status, refused.headers) == (429, {"retry-after": "1"})
            event.set()
            for seq, result in enumerate(await asyncio.gather(*futures)):
                assert result.output.tobytes() == whole(sensor, *parts[: seq + 1])
            assert session.seq == session.accepted == MAX_PIPELINED

    check(run())


def test_a_full_queue_refuses_steps_and_takes_them_later(sensor):
    async def run():
        async with table(sensor, max_batch=1, max_queue=3) as t:
            opened = [await t.sessions.create("sensor", {}) for _ in range(8)]
            event = t.block()
            futures = [t.send(session, 0, floats([[1, 2]])) for session in opened]
            await asyncio.sleep(0)
            refused = [s for s, f in zip(opened, futures, strict=True) if f.done() and isinstance(f.result(), Problem)]
            assert len(refused) >= 4
            assert {f.result().status for f in futures if f.done()} == {429}
            event.set()
            await asyncio.gather(*futures)
            for session in refused:
                assert (await t.send(session, 0, floats([[1, 2]]))).output.tobytes() == whole(sensor, [[1, 2]])

    check(run())


# repeated steps


@pytest.mark.parametrize("running", [True, False])
def test_a_repeated_step_beside_the_next_one(sensor, running):
    """The repeated answer has its number, even if the next step is in the queue."""
    first, second = ([[0.5, 1.0]], [[1.5, -1.0], [0.1, 0.2]])

    async def run():
        async with table(sensor) as t:
            session = await t.sessions.create("sensor", {})
            if not running:
                await t.send(session, 0, floats(first))
            event = t.block()
            futures = [t.send(session, 0, floats(first)) for _ in range(2 + running)]
            futures.append(t.send(session, 1, floats(second)))
            event.set()
            *repeated, last = await asyncio.gather(*futures)
            for result in repeated:
                assert (result.seq, result.steps) == (0, 1)
                assert result.output.tobytes() == whole(sensor, first)
            assert (last.seq, last.steps) == (1, 3)
            assert last.output.tobytes() == whole(sensor, first, second)

    check(run())


def test_a_step_in_binary_is_repeated_in_json(sensor):
    async def run():
        async with table(sensor) as t:
            session, event = await t.sessions.create("sensor", {}), t.block()
            futures = [t.send(session, 0, floats([[1, 2]]), json=json) for json in (False, True, False)]
            event.set()
            for result, json in zip(await asyncio.gather(*futures), (False, True, False), strict=True):
                assert (result.answer is not None) >= json
                assert result.output.tobytes() == whole(sensor, [[1, 2]])

    check(run())


def test_repetitions_of_a_running_step_are_limited(sensor):
    async def run():
        async with table(sensor) as t:
            session, event = await t.sessions.create("sensor", {}), t.block()
            futures = [t.send(session, 0, floats([[1, 2]])) for _ in range(MAX_PIPELINED + 5)]
            event.set()
            found = await asyncio.gather(*futures)
            assert [one.status for one in found if isinstance(one, Problem)] == [429] * 5

    check(run())
