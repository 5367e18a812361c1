"""Batches: who shares one, how long they wait, where they run, and whose errors they are."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from recurra.errors import DataError
from recurra.serve import batching
from recurra.serve.batching import Batcher, EngineThread
from recurra.serve.metrics import Metrics
from recurra.serve.problems import Problem


def run(work, *, max_batch=8, max_wait=0, max_queue=100):
    """Runs `work(batcher, engine)` on an event loop."""

    async def main():
        engine = EngineThread()
        engine.start()
        try:
            return await work(Batcher(engine, max_batch, max_wait, max_queue, Metrics()), engine)
        finally:
            engine.stop()

    return asyncio.run(main())


class Recorder:
    """Computes negative numbers, and records sizes and threads of the batches."""

    def __init__(self, seconds=0.0):
        self.sizes, self.threads, self.seconds = [], [], seconds

    def __call__(self, items):
        time.sleep(self.seconds)
        self.sizes.append(len(items))
        self.threads.append(threading.current_thread().name)
        if any(item == "bad" for item in items):
            raise DataError("a bad item")
        return [-item for item in items]


def cost(item):
    return 1


def test_requests_that_arrive_together_share_a_batch():
    record = Recorder()

    async def work(batcher, engine):
        return await asyncio.gather(*(batcher.compute("g", "m", record, [i], cost) for i in range(20)))

    assert run(work) == [[-i] for i in range(20)]
    assert record.sizes == [8, 8, 4]


def test_requests_that_are_read_in_turns_of_the_loop_after_each_other_share_a_batch():
    record = Recorder()

    async def late(batcher, turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return await batcher.compute("g", "m", record, [turns], cost)

    async def work(batcher, engine):
        return await asyncio.gather(*(late(batcher, turns) for turns in (0, 1, 2, 3, 30)))

    assert run(work) == [[0], [-1], [-2], [-3], [-30]]
    assert record.sizes == [4, 1]  # no request came in the turns before the last one


def test_groups_take_turns():
    order = []

    def recorded(name):
        return lambda items: order.append(name) or items

    async def work(batcher, engine):
        one = batcher.compute(("a",), "m", recorded("a"), list(range(24)), cost)
        two = batcher.compute(("b",), "m", recorded("b"), list(range(16)), cost)
        await asyncio.gather(one, two)

    run(work)
    assert order == ["a", "b", "a", "b", "a"]


def test_an_error_belongs_to_its_item():
    record = Recorder()

    async def work(batcher, engine):
        items = [1, "bad", 3]
        return await asyncio.gather(
            *(batcher.compute("g", "m", record, [item], cost) for item in items), return_exceptions=True
        )

    first, error, third = run(work)
    assert (first, third) == ([-1], [-3])
    assert isinstance(error, DataError)


def test_items_of_clients_that_left_are_not_computed():
    record = Recorder(0.05)

    async def work(batcher, engine):
        running = asyncio.ensure_future(batcher.compute("g", "m", record, [1], cost))
        await asyncio.sleep(0.01)
        left = asyncio.ensure_future(batcher.compute("g", "m", record, [2, 3], cost))
        await asyncio.sleep(0)
        left.cancel()
        await running
        await batcher.compute("g", "m", record, [4], cost)

    run(work)
    assert sum(record.sizes) == 2


@pytest.mark.parametrize(("wait", "sizes"), [(0, [1, 1]), (200_000, [2])])
def test_a_request_waits_for_others_for_at_most_the_setting(wait, sizes):
    record = Recorder()

    async def work(batcher, engine):
        first = asyncio.ensure_future(batcher.compute("g", "m", record, [1], cost))
        await asyncio.sleep(0.05)
        await asyncio.gather(first, batcher.compute("g", "m", record, [2], cost))

    begun = time.perf_counter()
    run(work, max_wait=wait)
    assert record.sizes == sizes
    assert time.perf_counter() - begun < 5


def test_a_full_batch_does_not_wait():
    record = Recorder()

    async def work(batcher, engine):
        await asyncio.wait_for(batcher.compute("g", "m", record, list(range(8)), cost), 5)

    run(work, max_wait=10_000_000)
    assert record.sizes == [8]


def test_a_full_queue_is_refused():
    record = Recorder(0.05)

    async def work(batcher, engine):
        running = [asyncio.ensure_future(batcher.compute("g", "m", record, [i] * 4, cost)) for i in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await batcher.compute("g", "m", record, [1] * 4, cost)
        await asyncio.gather(*running)
        return caught.value.status, caught.value.headers

    assert run(work, max_queue=8) == (429, {"retry-after": "1"})


def test_batches_that_are_known_to_be_short_run_on_the_event_loop(monkeypatch):
    monkeypatch.setattr(batching, "SHORT", 60.0)  # also on a busy machine
    record = Recorder()

    async def work(batcher, engine):
        for size in (1, 8, 8):
            await batcher.compute("g", "m", record, [1] * size, cost)
        await batcher.compute("g", "m", record, [1], lambda item: 10_000)  # far more than ever before

    run(work)
    assert record.threads == ["recurra-engine", "MainThread", "MainThread", "recurra-engine"]


def test_batches_that_are_known_to_be_long_run_on_the_thread():
    record = Recorder(2 * batching.SHORT)

    async def work(batcher, engine):
        for _ in range(3):
            await batcher.compute("g", "m", record, [1], cost)

    run(work)
    assert set(record.threads) == {"recurra-engine"}


def test_nothing_runs_on_the_event_loop_while_the_thread_works(monkeypatch):
    monkeypatch.setattr(batching, "SHORT", 60.0)
    record, release = Recorder(), threading.Event()

    async def work(batcher, engine):
        await batcher.compute("g", "m", record, [1], cost)
        assert engine.idle
        blocking = asyncio.ensure_future(engine.call(release.wait, 5))
        await asyncio.sleep(0)
        assert not engine.idle
        waiting = asyncio.ensure_future(batcher.compute("g", "m", record, [1], cost))
        quick = asyncio.ensure_future(engine.quick(threading.current_thread))
        await asyncio.sleep(0.02)
        release.set()
        await asyncio.gather(blocking, waiting)
        return (await quick).name, (await engine.quick(threading.current_thread)).name

    assert run(work) == ("recurra-engine", "MainThread")
    assert record.threads == ["recurra-engine"] * 2
