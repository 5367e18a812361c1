"""The engine thread, and the batches that it computes.

All models run on one thread; the native engine has its own threads below it. While a batch is computed, requests that
arrive form the next one. If the engine is free, a request waits at most `max_wait` for others. A batch starts when the
event loop reads no further requests for it: a large batch costs less for each request than a small one.

A batch that is expected to be short runs on the event loop. Two threads of Python take turns, and each operation of
torch gives its turn away: on the engine thread, a batch of short texts takes several times as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from .metrics import Metrics
from .problems import busy, problem_of

log = logging.getLogger("recurra.serve")

SHORT = 0.01
"""Expected seconds up to which a batch runs on the event loop. Other connections wait for so long."""
FIXED = 0.0003
"""Expected seconds of a batch without steps."""
FAMILIAR = 8
"""A batch with more than this multiple of the largest cost so far runs on the engine thread: its time is not known."""

Run = Callable[[list[Any]], Sequence[Any]]
"""Computes the results of some items. A result may be an exception, for this item only."""


class EngineThread:
    """Runs functions one after the other on one thread, for an event loop."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="recurra-engine", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = 0

    @property
    def idle(self) -> bool:
        """True if nothing runs on the thread, so that the event loop may use models and states."""
        return not self._waiting

    def start(self) -> None:
        """Starts the thread for the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, function: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Runs `function` on the thread, then `done(result, error)` on the event loop."""
        self._waiting += 1
        self._calls.put((function, done))

    def _finish(self, done: Callable[[Any, BaseException | None], None], result: Any, error: Any) -> None:
        self._waiting -= 1
        done(result, error)

    async def quick(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs a short function: on the event loop if the thread is idle, else on the thread after its other work."""
        return function(*args) if self.idle else await self.call(function, *args)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs `function(*args)` on the thread and returns its result."""
        assert self._loop is not None  # noqa: S101  (`start` was called)
        future = self._loop.create_future()
        self.submit(lambda: function(*args), lambda result, error: _resolve(future, result, error))
        return await future

    def stop(self) -> None:
        """Ends the thread after the functions that were submitted."""
        if self._thread.is_alive():
            self._calls.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, done = call
            result, error = None, None
            try:
                result = function()
            except BaseException as caught:
                error = caught
            assert self._loop is not None  # noqa: S101
            with contextlib.suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self._finish, done, result, error)


class _Group(NamedTuple):
    """Items that may be in one batch, with their callbacks and times."""

    model: str
    run: Run
    items: deque[Any]


class Batcher:
    """Collects items by group and computes them in batches on the engine thread.

    Args:
        engine: the thread.
        max_batch: greatest number of items of a batch.
        max_wait: greatest time in microseconds that an item waits for others while the engine is free.
        max_queue: greatest number of items that wait.
        metrics: counts items and times.
    """

    def __init__(self, engine: EngineThread, max_batch: int, max_wait: float, max_queue: int, metrics: Metrics) -> None:
        self._engine, self._max_batch, self._wait = engine, max_batch, max_wait / 1e6
        self._max_queue, self._metrics = max_queue, metrics
        self._groups: OrderedDict[Hashable, _Group] = OrderedDict()
        self._computing = False
        self._rates: dict[Hashable, tuple[float, int]] = {}
        self._timer: asyncio.Handle | None = None
        self.waiting = 0

    def check(self, count: int) -> None:
        """Refuses items that the queue cannot take.

        Raises:
            Problem: the queue is full.
        """
        if self.waiting and self.waiting + count > self._max_queue:
            raise busy(f"the queue is full: {self.waiting:,} inputs wait", 429)

    def add(
        self,
        group: Hashable,
        model: str,
        run: Run,
        item: Any,
        done: Callable[[Any], None],
        cancelled: Callable[[], bool] = bool,
        cost: int = 1,
    ) -> None:
        """Adds an item. `done(result)` is called on the event loop; the result may be an exception.

        Args:
            group: items of equal groups may be in one batch.
            model: name of the model, for the metrics.
            run: computes items of the group.
            item: the item.
            done: called with the result.
            cancelled: returns True if the result is not needed any more. The item is then left out.
            cost: about proportional to the time that the item takes, such as its number of steps.
        """
        if group not in self._groups:
            self._groups[group] = _Group(model, run, deque())
        self._groups[group].items.append((item, done, time.perf_counter(), cancelled, cost + 1))
        self.waiting += 1
        if not self._computing:
            self._schedule()

    async def compute(
        self, group: Hashable, model: str, run: Run, items: Sequence[Any], cost: Callable[[Any], int] = len
    ) -> list[Any]:
        """Computes items, in as many batches as needed; arguments as of `add`.

        Raises:
            Exception: the first error of an item.
        """
        loop = asyncio.get_running_loop()
        self.check(len(items))
        futures = [loop.create_future() for _ in items]
        for item, future in zip(items, futures, strict=True):
            self.add(group, model, run, item, functools.partial(_resolve, future), future.cancelled, cost(item))
        found = []
        try:
            for future in futures:
                found.append(await future)
        finally:
            for future in futures:
                future.cancel()  # of a client that is gone
        for result in found:
            if isinstance(result, BaseException):
                raise result
        return found

    def _schedule(self) -> None:
        """Computes the oldest group now if its batch is full or its time is over, else later."""
        if self._computing or not self._groups:
            return
        group, found = next(iter(self._groups.items()))
        left = found.items[0][2] + self._wait - time.perf_counter()
        if left <= 0 or len(found.items) >= self._max_batch:
            self._cancel_timer()
            self._computing = True
            asyncio.get_running_loop().call_soon(self._gather, group, 0)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(left, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._schedule()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _gather(self, group: Hashable, seen: int) -> None:
        """Starts a batch when a turn of the loop reads no further requests for it. `seen` of them were read before."""
        count = len(self._groups[group].items)
        if seen < count < self._max_batch:
            asyncio.get_running_loop().call_soon(self._gather, group, count)
        else:
            self._start(group)

    def _start(self, group: Hashable) -> None:
        """Takes a batch of a group, and submits it to the engine."""
        found = self._groups.pop(group)
        model, run, items = found
        taken = [items.popleft() for _ in range(min(len(items), self._max_batch))]
        if items:
            self._groups[group] = found  # at the end: other groups come first
        self.waiting -= len(taken)
        batch = [entry for entry in taken if not entry[3]()]
        if not batch:
            self._computing = False
            self._schedule()
            return
        started, kind = time.perf_counter(), (group[0] if isinstance(group, tuple) else group, model)
        cost = sum(entry[4] for entry in batch)

        def work() -> tuple[Sequence[Any], float]:
            begun = time.perf_counter()
            return _run(run, [entry[0] for entry in batch]), time.perf_counter() - begun

        def finish(found: Any, error: BaseException | None) -> None:
            self._computing = False
            results, seconds = found or ([error] * len(batch), 0.0)
            if error is None:
                self._learn(kind, cost, seconds)
            self._metrics.batch(model, len(batch), seconds, started - batch[0][2])
            self._schedule()  # before the answers are written, so that the engine is not idle
            for entry, result in zip(batch, results, strict=True):
                try:
                    entry[1](result)
                except Exception:  # the others need their results
                    log.exception("a result could not be handed over")

        if self._engine.idle and self._is_short(kind, cost):
            finish(work(), None)
        else:
            self._engine.submit(work, finish)

    def _is_short(self, kind: Hashable, cost: int) -> bool:
        rate, largest = self._rates.get(kind, (0.0, 0))
        return cost <= FAMILIAR * largest and FIXED + rate * cost <= SHORT

    def _learn(self, kind: Hashable, cost: int, seconds: float) -> None:
        """Keeps the time per unit of cost, as a running mean."""
        rate = max(seconds - FIXED, 0.0) / cost
        before, largest = self._rates.get(kind, (rate, 0))
        self._rates[kind] = ((before + rate) / 2, max(cost, largest))


def _run(run: Run, items: list[Any]) -> Sequence[Any]:
    """Computes items; if the batch fails, each by itself, so that an error belongs to its item only."""
    try:
        return run(items)
    except Exception as error:
        if len(items) == 1:
            if problem_of(error) is None:
                log.exception("an input could not be computed")
            return [error]
    return [_run(run, [item])[0] for item in items]


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None = None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
