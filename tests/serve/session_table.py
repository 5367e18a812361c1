"""Sessions without HTTP, for the tests."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np

from recurra.serve import Settings
from recurra.serve.batching import Batcher, EngineThread
from recurra.serve.metrics import Metrics
from recurra.serve.models import load_models
from recurra.serve.problems import Problem
from recurra.serve.sessions.sessions import Sessions
from recurra.serve.store import Store, claimed


class Table:
    """Sessions of the model "sensor" without HTTP."""

    def __init__(self, sessions: Sessions, engine: EngineThread, item) -> None:
        self.sessions, self.engine, self.item = sessions, engine, item

    def send(self, session, seq, rows, *, json: bool = False) -> asyncio.Future:
        """Sends a step. The result is the answer or an error."""
        future = asyncio.get_running_loop().create_future()
        try:
            self.sessions.steps.accept(session, seq, self.item(rows), future.set_result, json=json)
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
