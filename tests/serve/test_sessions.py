"""The table of sessions: order, batches, races between requests, eviction and expiry."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from serve_helpers import series, serving

from recurra.serve import Settings
from recurra.serve.batching import Batcher, EngineThread
from recurra.serve.metrics import Metrics
from recurra.serve.models import load_models
from recurra.serve.problems import Problem
from recurra.serve.sessions import MAX_PIPELINED, SPARE_DEADLINES, Sessions
from recurra.serve.state_file import SessionState, StateInfo
from recurra.serve.stepping import Step
from recurra.serve.store import Store, claimed

URL = "/v1/models/sensor/sessions"


class Table:
    """Sessions of the model "sensor" without HTTP."""

    def __init__(self, sessions: Sessions, engine: EngineThread, item) -> None:
        self.sessions, self.engine, self.item = sessions, engine, item

    def send(self, session, seq, rows, *, json: bool = False) -> asyncio.Future:
        """Sends a step. The result is the answer or an error."""
        future = asyncio.get_running_loop().create_future()
        try:
            self.sessions.step(session, seq, self.item(rows), future.set_result, json=json)
        except Problem as problem:
            future.set_result(problem)
        return future

    def block(self) -> threading.Event:
        """Stops the engine thread until the event is set."""
        event = threading.Event()
        self.engine.submit(event.wait, lambda *_: None)
        return event


@asynccontextmanager
async def table(sensor, folder=None, max_batch=64, max_queue=100_000, **settings):
    models, engine, metrics = load_models({"sensor": sensor}), EngineThread(), Metrics()
    batcher = Batcher(engine, max_batch, 0, max_queue, metrics)
    engine.start()
    if folder is None:
        sessions = Sessions(models, engine, batcher, Settings(**settings), metrics)
        yield Table(sessions, engine, models["sensor"].stepper.parse_binary)
        await asyncio.to_thread(engine.stop)
        return
    with claimed(folder):
        store = Store(folder, {"sensor": models["sensor"].fingerprint})
        sessions = Sessions(models, engine, batcher, Settings(**settings), metrics, store)
        yield Table(sessions, engine, models["sensor"].stepper.parse_binary)
        await asyncio.to_thread(engine.stop)
        store.close()


def floats(rows) -> np.ndarray:
    return np.asarray(rows, np.float32).reshape(-1)


def whole(sensor, *parts) -> bytes:
    return sensor.predict_proba([np.concatenate([floats(part).reshape(-1, 2) for part in parts])])[0].tobytes()


def check(test):
    """Runs a coroutine as a test, with a limit of its time."""
    return asyncio.run(asyncio.wait_for(test, 30))


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


# races


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
            slots = [session.slot for session in t.sessions._live.values()]
            assert len(set(slots)) == len(slots) == 2
            assert sum(t.sessions.is_live(one) for one in others) == 1

    check(run())


def test_a_request_for_a_session_that_is_cut_off_leaves_none(sensor, tmp_path):
    async def run():
        async with table(sensor, tmp_path) as t:
            event = t.block()
            creating = asyncio.ensure_future(t.sessions._add("sensor", _new_state(t), None))
            await asyncio.sleep(0)
            (id,) = t.sessions._live
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
            slots = [session.slot for session in t.sessions._live.values()]
            assert len(set(slots)) == len(slots)

    check(run())


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


# expiry


def test_deadlines_of_ended_sessions_are_forgotten(sensor):
    async def run():
        async with table(sensor) as t:
            for _ in range(3 * SPARE_DEADLINES):
                await t.sessions.delete(await t.sessions.create("sensor", {}))
            assert len(t.sessions._deadlines) <= SPARE_DEADLINES + 2
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


# the same over HTTP


def test_a_step_that_passes_the_deadline_of_its_request_is_repeated_later(sensor):
    with serving({"sensor": sensor}, timeout=0.2) as client:
        session = f"{URL}/{client.post(URL).json()['session']}"
        event = threading.Event()
        client.app.state.server.engine.submit(event.wait, lambda *_: None)
        begun = time.monotonic()
        late = client.post(f"{session}/steps", json={"inputs": [[1, 2]], "seq": 0})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - begun < 5
        event.set()
        again = client.post(f"{session}/steps", json={"inputs": [[1, 2]], "seq": 0})
        assert (again.status_code, again.json()["steps"]) == (200, 1)


@pytest.mark.parametrize("path", ["//steps", "/%20/steps", "/steps", "/a%2Fb/steps", "/%00/steps"])
def test_a_step_without_a_name_is_refused(client, path):
    answer = client.post(f"{URL}{path}", json={"inputs": [[0, 0]]})
    assert answer.status_code in (404, 405, 422)
    assert answer.json()["error"]["status"] == answer.status_code
