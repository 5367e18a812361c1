"""Batches of steps whose sessions end meanwhile."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from serve_helpers import series
from session_table import check, floats, table, whole

from recurra.serve.problems import Problem
from recurra.serve.sessions.step_runner import Step


def test_deleting_some_sessions_of_a_running_batch_leaves_the_other_answers(sensor):
    """Sessions are deleted in another thread while a batch is put together and computed."""
    rows = [row.astype(np.float32) for row in series(60, seed=8)]

    async def run():
        async with table(sensor) as t:
            for turn in range(10):
                opened = [await t.sessions.create("sensor", {}) for _ in rows]
                futures = [t.send(session, 0, floats(row)) for session, row in zip(opened, rows, strict=True)]
                await asyncio.sleep(0)
                for session in opened[turn::7]:
                    await t.sessions.delete(session)
                for i, result in enumerate(await asyncio.gather(*futures)):
                    if isinstance(result, Problem):
                        assert (result.status, i % 7) == (410, turn % 7)
                    else:
                        assert result.output.tobytes() == whole(sensor, rows[i])
                for session in opened:
                    if t.sessions.is_live(session):
                        await t.sessions.delete(session)
            assert t.sessions.live == 0

    check(run())


class FlippingStep:
    """A session that ends between two looks at it, as the event loop may do while the engine thread works."""

    def __init__(self, session, looks: int) -> None:
        self._session, self._looks = session, looks

    def __getattr__(self, name: str):
        return getattr(self._session, name)

    @property
    def gone(self) -> bool:
        self._looks -= 1
        return self._looks < 0


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
def test_no_session_gets_the_answer_of_another_one_that_ends_meanwhile(sensor, looks):
    rows = [[[1.0, 2.0]], [[-1.0, 0.5]], [[0.0, 3.0]]]

    async def run():
        async with table(sensor) as t:
            opened = [await t.sessions.create("sensor", {}) for _ in rows]
            await t.sessions.delete(opened[0])
            ending = FlippingStep(opened[1], looks)
            steps = [
                Step(s, 0, t.item(floats(r)), False) for s, r in zip((opened[0], ending, opened[2]), rows, strict=True)
            ]
            found = await t.engine.call(t.sessions._runner.advance, steps)
            assert found[0].status == 410
            assert found[2].output.tobytes() == whole(sensor, rows[2])

    check(run())
