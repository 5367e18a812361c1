"""Space of saved sessions: `python benchmarks/sessions.py [--sessions 100000]`.

Creates sessions of an LSTM with 128 units, steps each of them, steps random ones, and lets all of them expire. Prints
the size on disk, the growth of the memory and the time of each part. Fails above 10 kB on disk or 2 kB in memory for
each session.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import numpy as np

from recurra import SequenceClassifier
from recurra.serve import Settings
from recurra.serve.batching import Batcher, EngineThread
from recurra.serve.metrics import Metrics
from recurra.serve.models import load_models
from recurra.serve.sessions.sessions import Sessions
from recurra.serve.store import FILE, Store, claimed

TOGETHER = 256
DISK, MEMORY = 10_000, 2_000
"""Most bytes for each session: 1 GB and 200 MB for 100,000."""


def memory() -> int:
    """Returns the bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def disk(folder: Path) -> int:
    """Returns the bytes of the database, with its journal."""
    return sum(path.stat().st_size for path in folder.glob(f"{FILE}*"))


class Run:
    """A table of sessions and what was measured.

    Args:
        folder: folder of the sessions.
        units: units of the LSTM.
    """

    def __init__(self, folder: Path, units: int) -> None:
        random = np.random.default_rng(0)
        X, y = [random.normal(size=(5, 2)) for _ in range(20)], ["a", "b"] * 10
        model = SequenceClassifier(hidden_size=units, bidirectional=False, pooling="last", epochs=1, verbose=0)
        self.models, self.engine, metrics = load_models({"sensor": model.fit(X, y)}), EngineThread(), Metrics()
        self.folder = folder
        self.store = Store(folder, {"sensor": self.models["sensor"].fingerprint})
        self.batcher, self.metrics = Batcher(self.engine, 64, 0, 100_000, metrics), metrics
        self.sessions = self.table()
        self.row = self.models["sensor"].stepper.parse_binary(np.ones(2, np.float32))  # type: ignore[union-attr]
        self.least = 0

    def table(self, idle: float = 10**6) -> Sessions:
        """Returns a table of the saved sessions, as a server has it after its start."""
        settings = Settings(state_dir=self.folder, max_sessions=10_000_000, idle=idle)
        return Sessions(self.models, self.engine, self.batcher, settings, self.metrics, self.store)

    async def create(self, number: int) -> None:
        """Begins a session."""
        await self.sessions.create("sensor", {}, f"session-{number}")

    async def step(self, number: int) -> None:
        """Runs a step of a session."""
        async with self.sessions.held("sensor", f"session-{number}") as session:
            future = asyncio.get_running_loop().create_future()
            self.sessions.steps.accept(session, None, self.row, future.set_result, json=False)
            result = await future
        if isinstance(result, BaseException):
            raise result

    async def each(self, what: str, work: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
        """Does something with many sessions, some of them at the same time, and reports it."""
        numbers, begun = list(numbers), time.perf_counter()
        for begin in range(0, len(numbers), TOGETHER):
            await asyncio.gather(*map(work, numbers[begin : begin + TOGETHER]))
        self.report(what, len(numbers), time.perf_counter() - begun)

    def report(self, what: str, count: int, seconds: float) -> None:
        """Prints one line."""
        each = seconds / max(1, count) * 1e6
        print(
            f"{what:32} {each:8.0f} µs each   disk {disk(self.folder) / 1e6:7.1f} MB   "
            f"memory +{(memory() - self.least) / 1e6:6.1f} MB   live {self.sessions.live}",
            flush=True,
        )

    async def all(self, count: int) -> tuple[int, int]:
        """Measures, and returns the largest size on disk and growth of the memory in bytes."""
        self.engine.start()
        await self.each("first 1,000 (warm up)", self.create, range(count, count + 1000))
        await self.each("their steps", self.step, range(count, count + 1000))
        self.least = memory()
        random = np.random.default_rng(1)
        await self.each("create", self.create, range(count))
        await self.each("a step of each", self.step, range(count))
        await self.each("steps of random sessions", self.step, random.integers(count, size=min(count, 20_000)).tolist())
        space, growth = disk(self.folder), memory() - self.least
        self.sessions = self.table(idle=0.01)
        await asyncio.sleep(0.02)
        begun = time.perf_counter()
        await self.sessions.expire()
        self.report("expiry of all", count, time.perf_counter() - begun)
        growth = max(growth, memory() - self.least)
        assert self.sessions.count == self.store.count() == 0  # noqa: S101
        await asyncio.to_thread(self.engine.stop)
        self.store.close()
        return space, growth


def main() -> int:
    """Runs the benchmark; returns 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--units", type=int, default=128)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, claimed(Path(name)):
        space, growth = asyncio.run(Run(Path(name), given.units).all(given.sessions))
    count = given.sessions + 1000
    print(f"{count:,} sessions: {space / 1e6:.1f} MB on disk, {growth / 1e6:.1f} MB of memory")
    slack = 40_000_000  # of few sessions: the sessions in memory and the cache of the database
    return int(space > DISK * count + slack or growth > MEMORY * count + slack * (count < 50_000))


if __name__ == "__main__":
    sys.exit(main())
